"""R3D, MC3 and R(2+1)D: torchvision's networks as chains of stages, trained by every policy, and weights of others."""

import argparse
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tests.builders import hdf5, random_encoder
from tests.cli import vimix
from vimix.values.checkpoint import Checkpoint
from vimix.values.clip_batch import ClipBatch
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.checkpoints.weight_formats import LAYOUTS
from vimix_adapters.checkpoints.weight_matching import match_weights
from vimix_adapters.commands.import_weights import import_checkpoint
from vimix_adapters.encoders.chain import encoder_of
from vimix_adapters.encoders.contrastive_network import Compute

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18")
CPU = Compute(torch.device("cpu"))
CLIPS = torch.randn(2, 3, 5, 20, 24, generator=torch.Generator().manual_seed(0))
"""Clips whose sizes are not multiples of any stride."""


def torchvisions_name(name: str) -> str:
    """The name in torchvision of one of vimix's names."""
    _, stage, rest = name.split(".", 2)
    return f"stem.{rest}" if stage == "0" else f"layer{stage}.{rest}"


def narrow(name: str = "r2plus1d_18", channels: int = 3) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return encoder_of(config.ModalitySettings(encoder=name, width=0.0625, channels=channels)).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_at_full_width_it_is_torchvisions_network(name) -> None:
    theirs = resolve_name(config.ENCODERS[name].torchvision)().eval()
    with torch.device("meta"):
        ours = encoder_of(config.ModalitySettings(encoder=name)).eval()
    state = {ours_: theirs.state_dict()[torchvisions_name(ours_)] for ours_ in ours.state_dict()}
    assert {*map(torchvisions_name, state)} == {key for key in theirs.state_dict() if not key.startswith("fc.")}
    ours.load_state_dict(state, assign=True)
    clips = CLIPS[:1]
    expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(theirs.stem(clips)))))
    torch.testing.assert_close(ours.partial_forward(clips, 0, 5), expected, rtol=1e-4, atol=1e-5)
    assert ours.depth == 5
    assert ours.feature_size == expected.shape[1] == 512


@pytest.mark.slow
def test_torchvision_loads_an_export_and_a_recipe_starts_from_torchvisions_file(tmp_path) -> None:
    """The file of a user, such as KINETICS400_V1, is the state dict of the whole network."""
    theirs = resolve_name("torchvision.models.video:r2plus1d_18")().state_dict()
    torch.save(theirs, tmp_path / "k400.pth")
    import_checkpoint(tmp_path / "k400.pth", "rgb", tmp_path / "in")
    assert vimix("export", tmp_path / "in", "--format", "torchvision", "--out", tmp_path / "out.pth") == 0
    back = torch.load(tmp_path / "out.pth", weights_only=True)
    assert {*back} == {key for key in theirs if not key.startswith("fc.")}
    assert all(torch.equal(back[key], theirs[key]) for key in back)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_safetensors_come_back_with_encoder_and_width(name, tmp_path) -> None:
    settings = config.ModalitySettings(encoder=name, width=0.0625, channels=2)
    state = random_encoder(tmp_path / "run", "flow", settings).state_dict()
    file = tmp_path / "e.safetensors"
    assert vimix("export", tmp_path / "run", "--format", "safetensors", "--out", file) == 0
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["encoder"] == name
    assert vimix("import", file, "--modality", "flow", "--out", tmp_path / "back") == 0
    back = load_checkpoint(tmp_path / "back")
    assert config.recipe_from_toml(back.recipe, "it").modalities["flow"] == settings
    for key, value in state.items():
        if key.startswith("encoder."):
            assert torch.equal(back.parts["query"][key], value)


RECIPE = config.Recipe(
    name="r",
    data=config.Data(store="", frames=8, size=32),
    modalities={
        "rgb": config.ModalitySettings(encoder="r2plus1d_18", width=0.0625),
        "flow": config.ModalitySettings(width=0.0625, channels=2),
    },
    contrast=config.Contrast(queue=8, embedding=16),
)


def trained(recipe: config.Recipe, stage: config.Stage) -> float:
    """The loss of one step of a stage on noise; the partner has random weights."""
    built = wiring.build_stage(recipe, stage)
    learner = wiring.build_learner(recipe, built.modality, CPU)
    partners = [m for m in built.views_needed if m != built.modality]
    text = config.recipe_to_toml(recipe)
    inits = {m: Checkpoint(m, text, {"query": wiring.build_network(recipe, m, CPU).state_dict()}, {}) for m in partners}
    generator, ids = torch.Generator().manual_seed(0), torch.arange(4)
    views = {
        m: tuple(torch.randn(4, recipe.modalities[m].channels, 8, 32, 32, generator=generator) for _ in range(count))
        for m, count in built.views_needed.items()
    }
    before = {name: value.clone() for name, value in learner.query.state_dict().items()}
    step = wiring.build_step(recipe, built, learner, inits, CPU)
    outcome = step(ClipBatch(views, videos=ids, sources=ids, labels=ids), np.random.default_rng(0))
    moved = [name for name, value in learner.query.named_parameters() if not torch.equal(before[name], value)]
    assert len(moved) == len([*learner.query.parameters()])
    return float(outcome.loss)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_under_every_policy(name) -> None:
    """All parameters move, whatever is mixed."""
    same = config.ModalitySettings(encoder=name, width=0.0625)
    recipe = config.Recipe(
        name="r", data=RECIPE.data, contrast=RECIPE.contrast, modalities={"rgb": same, "other": same}
    )
    stages: list[config.Stage] = [
        config.PretrainStage("rgb", mix=config.InputMix(policy=policy))  # type: ignore[arg-type]  # a literal
        for policy in ("none", "mixup", "temporal_cutmix", "st_cutmix", "videomix")
    ]
    stages.append(config.CmmcStage("rgb", mix=config.HiddenMix(policy="manifold_mixup", layers="same")))
    stages.append(config.CmmcStage("rgb", "other", mix=config.HiddenMix(policy="cm_mixup", layers="same")))
    stages.append(config.CmmcStage("rgb", "other", mix=config.HiddenMix(policy="cm_cutmix", layers="random")))
    for stage in stages:
        assert np.isfinite(trained(recipe, stage))


@pytest.mark.slow
@pytest.mark.parametrize("stage", [config.CmmcStage("rgb", "flow"), config.CmmcStage("flow", "rgb")])
def test_cmmc_mixes_maps_of_different_encoders(stage) -> None:
    assert np.isfinite(trained(RECIPE, stage))


def test_the_same_layer_of_different_encoders_is_refused_with_a_way_out() -> None:
    stage = config.CmmcStage("rgb", "flow", mix=config.HiddenMix(policy="cm_cutmix", layers="same"))
    (line,) = config.stage_contradictions(RECIPE, "the stage", stage)
    assert "rgb is r2plus1d_18 in blocks and flow is s3d in blocks: use policy = 'cm_cutmix'" in line


def ctps_name(name: str) -> str:
    """The name in CtP of one of torchvision's names."""
    for ours, theirs in (("stem.0.", "stem.conv_s."), ("stem.1.", "stem.bn_s."), ("stem.3.", "stem.conv_t.")):
        name = name.replace(ours, theirs)
    name = name.replace("stem.4.", "stem.bn_t.")
    for number in "12":
        for place, theirs in (("0.0", "conv_s"), ("0.1", "bn_s"), ("0.3", "conv_t")):
            name = name.replace(f"conv{number}.{place}.", f"conv{number}.{theirs}.")
        name = name.replace(f"conv{number}.1.", f"bn{number}.")
    return name.replace("downsample.0.", "downsample.").replace("downsample.1.", "downsample_bn.")


def numbered(name: str) -> str:
    """The name in RSPNet and PCL, which number stem and layers."""
    return name.replace("stem.", "0.", 1).replace("layer", "", 1)


PUBLISHED = {
    "videomoco": lambda name: f"module.encoder_q.{name}",
    "rspnet": lambda name: f"encoder_q.encoder.base_network.{numbered(name)}",
    "pcl": lambda name: f"module.base_network.{numbered(name)}",
    "tclr": lambda name: f"module.0.{name}",
    "gdt": lambda name: f"video_network.base.{name}",
    "selavi": lambda name: f"module.video_network.base.{name}",
    "ctp": lambda name: f"backbone.{ctps_name(name)}",
}


@pytest.mark.slow
@pytest.mark.parametrize("method", PUBLISHED)
def test_published_weights_are_found_whole_under_their_names(method) -> None:
    state, named = narrow(), PUBLISHED[method]
    theirs = {named(torchvisions_name(key)): value for key, value in state.items()}
    copies = {key.replace("encoder_q", "encoder_k"): value + 1 for key, value in theirs.items() if "encoder_q" in key}
    head = {"rspnet": "encoder_q.fc.weight", "pcl": "module.head.weight"}.get(method) or named("fc.weight")
    heads = {head: torch.zeros(8, 32), "mlp.weight": torch.zeros(2, 2)}
    layout = LAYOUTS["ctp" if method == "ctp" else "r2plus1d_18"]
    match = match_weights({**copies, **theirs, **heads}, {k: v.shape for k, v in state.items()}, layout)
    assert match.share == 1.0
    assert all(torch.equal(match.found[key], value) for key, value in state.items())


@pytest.mark.parametrize("name", [*NAMES, "ctp"])
def test_an_import_tells_the_encoders_apart(name, tmp_path, capsys) -> None:
    state = narrow("r2plus1d_18" if name == "ctp" else name)
    change = ctps_name if name == "ctp" else str
    torch.save({change(torchvisions_name(key)): value for key, value in state.items()}, tmp_path / "w.pth")
    assert import_checkpoint(tmp_path / "w.pth", "rgb", tmp_path / "out").layout == name


def test_numbers_of_numpy_and_options_beside_the_weights_are_read_and_not_run(tmp_path, capsys) -> None:
    weights = {f"module.encoder_q.{torchvisions_name(key)}": value for key, value in narrow().items()}
    options = argparse.Namespace(lr=0.1, arch="r2plus1d_18", seed=np.int64(3))
    torch.save({"state_dict": weights, "best": np.float64(0.5), "args": options}, tmp_path / "w.pth")
    report = import_checkpoint(tmp_path / "w.pth", "rgb", tmp_path / "out")
    assert (report.layout, report.match.share) == ("r2plus1d_18", 1.0)


def test_a_network_whose_convolution_was_changed_is_refused_by_name(tmp_path, capsys) -> None:
    """TCLR's R(2+1)D has one dilated 3 x 3 x 3 convolution; 97 % of its tensors match all the same."""
    weights = {torchvisions_name(key): value for key, value in narrow().items()}
    first = [key for key in weights if key.startswith("layer4.0.conv1.0.")]
    for key in first:
        del weights[key]
    weights["layer4.0.conv1.0.weight"] = torch.zeros(32, 16, 3, 3, 3)
    torch.save(weights, tmp_path / "w.pth")
    command = ["import", tmp_path / "w.pth", "--modality", "rgb", "--out", tmp_path / "out"]
    assert vimix(*command) == 2
    error = capsys.readouterr().err
    assert "2 convolutions of r2plus1d_18 are missing" in error
    assert "layer4.0.conv1.0.weight instead" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_recipe_starts_from_the_weights_that_it_names(tmp_path, capsys) -> None:

    torch.save({torchvisions_name(key): value for key, value in narrow().items()}, tmp_path / "w.pth")
    hdf5(tmp_path, "raw")
    text = """
name = "r"
[data]
store = "{folder}/store.h5"
frames = 4
size = 16
workers = 0
[modalities.rgb]
encoder = "{encoder}"
width = 0.0625
weights = "{folder}/w.pth"
[contrast]
queue = 0
[optim]
batch = 2
lr = 1e-30
weight_decay = 0.0
[run]
precision = "float32"
[pretrain]
epochs = 1
milestones = []
"""
    for encoder, code in (("r2plus1d_18", 0), ("r3d_18", 2)):
        (tmp_path / "r.toml").write_text(text.format(folder=tmp_path, encoder=encoder))
        command = ["pretrain", tmp_path / "r.toml", "--modality", "rgb", "--out", tmp_path / encoder]
        assert vimix(*command, "--device", "cpu", "--set", "contrast.bn_groups=1") == code
    assert "holds the weights of r2plus1d_18, the recipe has encoder = 'r3d_18'" in capsys.readouterr().err
    stem = load_checkpoint(tmp_path / "r2plus1d_18/pretrain-rgb").parts["query"]["encoder.features.0.0.weight"]
    torch.testing.assert_close(stem, narrow()["features.0.0.weight"])
