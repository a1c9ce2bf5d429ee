"""On a CUDA GPU: the steps are the CPU's, and the command line trains, stops, goes on and evaluates there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders import split_store
from tests.cli import TINY, vimix
from vimix.app.steps import Step
from vimix.values.checkpoint import Checkpoint
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.encoders.contrastive_network import Compute

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
GPU = ["--device", "cuda"]
CHANNELS = ((RGB, 3), (FLOW, 2))
RECIPE = config.Recipe(
    name="gpu",
    data=config.Data(store="none.h5", frames=16, size=64),
    modalities={RGB: config.ModalitySettings(width=0.25), FLOW: config.ModalitySettings(width=0.25, channels=2)},
    contrast=config.Contrast(queue=16, bn_groups=1),
    optim=config.Optim(batch=8),
)
POLICIES = {
    "mixup": config.PretrainStage(pretrain=RGB),
    "cm_cutmix": config.CmmcStage(cmmc=RGB, partner=FLOW),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of 20 videos of two actions with flow, 12 to train on, and a recipe."""
    folder = tmp_path_factory.mktemp("cuda")
    store = split_store(folder, 10, tests=4, side=48)
    (folder / "recipe.toml").write_text(TINY.format(store=store).replace('"float32"', '"auto"'))
    return folder


def first_step_on(device: str, policy: str) -> tuple[float, torch.Tensor]:
    """The loss of one step on noise and the gradient of all weights of the query encoder in a row."""
    compute = Compute(torch.device(device))
    learner = wiring.build_learner(RECIPE, RGB, compute)
    partner = Checkpoint(FLOW, "", {"query": wiring.build_network(RECIPE, FLOW, compute).state_dict()}, {})
    stage = wiring.build_stage(RECIPE, POLICIES[policy])
    step: Step = wiring.build_step(RECIPE, stage, learner, {FLOW: partner}, compute)
    draw = torch.Generator().manual_seed(3)
    clips = {m: [torch.randn(8, c, 16, 64, 64, generator=draw).to(device) for _ in "qk"] for m, c in CHANNELS}
    names = torch.arange(8, device=device)
    batch = ClipBatch({RGB: tuple(clips[RGB]), FLOW: (clips[FLOW][0],)}, names, names, names)
    loss = float(step(batch, np.random.default_rng(0)).loss)
    gradients = [weights.grad for weights in learner.query.parameters() if weights.grad is not None]
    return loss, torch.cat([gradient.flatten().cpu() for gradient in gradients])


@pytest.fixture
def exact_convolutions(monkeypatch) -> None:
    """TF32 has ten bits of mantissa: off, to compare with the CPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_step_in_float32_is_that_of_the_cpu(exact_convolutions, policy) -> None:
    """One step: an untrained S3D makes much of rounding (two kernels of one CPU: 1e-4 of the loss), Adam yet more."""
    theirs, their_gradient = first_step_on("cpu", policy)
    ours, our_gradient = first_step_on("cuda", policy)
    assert ours == pytest.approx(theirs, rel=2e-3)
    assert torch.nn.functional.cosine_similarity(our_gradient, their_gradient, dim=0) > 0.98
    assert float(our_gradient.norm()) == pytest.approx(float(their_gradient.norm()), rel=0.05)


def test_features_in_bfloat16_are_those_of_float32_but_for_rounding() -> None:
    clips, features = torch.randn(8, 3, 16, 64, 64), {}
    for dtype in (torch.float32, torch.bfloat16):
        compute = Compute(torch.device("cuda"), dtype)
        network = wiring.build_network(RECIPE, RGB, compute)
        features[dtype] = network.features(clips.cuda())
        assert features[dtype].dtype == torch.float32
    cosines = torch.nn.functional.cosine_similarity(*features.values())
    assert cosines.min() > 0.995
    assert not torch.equal(*features.values())


def test_a_run_trains_and_evaluates_in_bfloat16_and_says_on_which_card(place, tmp_path) -> None:
    assert vimix("run", place / "recipe.toml", "--out", tmp_path / "run", *GPU) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    scores = [score for row in results["rows"] for score in row["scores"].values()]
    assert scores
    assert all(0 <= score <= 1 for score in scores)
    assert torch.cuda.get_device_name() in json.dumps(results), "the card is part of the result"
    for metrics in (tmp_path / "run").glob("*/*/metrics.jsonl"):
        assert all(np.isfinite(json.loads(line)["loss"]) for line in metrics.read_text().splitlines())


def test_a_checkpoint_of_the_gpu_scores_the_same_on_a_cpu(exact_convolutions, place, tmp_path) -> None:
    recipe, ours = place / "recipe.toml", tmp_path / "rgb"
    assert vimix("pretrain", recipe, "--modality", "rgb", "--out", ours, *GPU) == 0
    query = load_checkpoint(ours / "pretrain-rgb/last.pt").parts["query"]
    assert {value.device.type for value in query.values()} == {"cpu"}, "loads where there is no GPU"
    scores = []
    for device in ("cpu", "cuda"):
        out = ["--out", tmp_path / f"{device}.json", "--device", device, "--set", "run.precision=float32"]
        assert vimix("evaluate", "retrieval", recipe, ours / "pretrain-rgb", *out) == 0
        scores.append(json.loads((tmp_path / f"{device}.json").read_text())["scores"])
    assert scores[0] == scores[1]


def test_memory_does_not_grow_with_the_steps(place, tmp_path) -> None:
    grown = []
    for epochs in (2, 12):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        command = ["pretrain", place / "recipe.toml", "--modality", "rgb", "--out", tmp_path / f"{epochs}", *GPU]
        assert vimix(*command, "--set", f"pretrain.epochs={epochs}") == 0
        grown.append(torch.cuda.max_memory_allocated())
    assert grown[1] < 1.2 * grown[0]


def test_torchrun_trains_with_nccl(place, tmp_path) -> None:
    """One process: NCCL wants a card for each, and most have one."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m"]
    command += ["vimix_adapters.cli.main", "pretrain", str(place / "recipe.toml"), "--modality", "rgb", *GPU]
    ended = subprocess.run(
        [*command, "--out", str(tmp_path / "group")], env=dict(os.environ), capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "group/pretrain-rgb/metrics.jsonl").read_text().splitlines()]
    assert rows
    assert all(np.isfinite(row["loss"]) for row in rows)
