"""The benchmarks and the scripts that call them run and write what they say. No test here depends on speed."""

import os
import runpy
import shlex
import subprocess

import numpy as np
import pytest
import torch
import typer
from attrs import evolve
from torch.nn import functional

from tests.cli import vimix
from tests.recipes import ROOT
from vimix.domain.mixing.blend import blend
from vimix.domain.mixing.policies import CrossModalCutMix
from vimix.values.grid import Grid
from vimix_adapters import wiring
from vimix_adapters.benchmarks import operations, runner, step_speed, throughput
from vimix_adapters.benchmarks.plain import PlainNetwork, masked_mix
from vimix_adapters.benchmarks.timing import TINY, Measure, Remark, TimedPair, interleaved
from vimix_adapters.checkpoints.weight_formats import LAYOUTS
from vimix_adapters.cli import main

SCRIPTS = ROOT / "experiments"


@pytest.mark.slow
def test_every_benchmark_leaves_its_lines_in_the_table(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("vimix_adapters.benchmarks.pipeline.STARTS", 1)
    assert vimix("bench", "--tiny", "--out", tmp_path / "bench.md") == 0
    table = (tmp_path / "bench.md").read_text()
    steps = ("S3D MoCo step", "ST-GCN MoCo step", "CMMC step", "CMMC step with mining", "blend")
    for name in (*steps, "data_time", "exact retrieval", "linear probe", "vimix --help"):
        assert f"| {name} |" in table
    assert "commit" in table
    assert "| blend |" in capsys.readouterr().out


@pytest.mark.slow
def test_throughput_tells_how_fast_a_batch_is_and_what_it_uses(tmp_path) -> None:
    out = tmp_path / "bench.md"
    assert vimix("bench", "--tiny", "--only", "throughput", "--batch", 6, "--out", out) == 0
    rows = [line for line in out.read_text().splitlines() if "batch 6 |" in line]
    for word in ("float32;", "TF32;", "channels_last_3d;", "clips/s", "MoCo step;", "operators", "TFLOP/s", "GB/s"):
        assert any(word in row for row in rows), word


def test_a_batch_that_does_not_fit_is_told_and_the_next_is_measured(monkeypatch) -> None:
    def measure(settings):
        if settings.batch > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield Measure(f"batch {settings.batch}", [1.0], "s")

    monkeypatch.setattr(throughput, "of_batch", measure)
    found = list(throughput.throughput(evolve(TINY, batches=(8, 4))))
    assert [type(finding) for finding in found] == [Remark, Measure]
    assert found[0].name == "batch 8"


def test_operations_and_bytes_are_counted_for_both_passes() -> None:
    """A convolution of 2 x 3 -> 5 channels and kernel 1 over 4 x 6 x 6 points: 2 flops a product, three products."""
    weight = torch.randn(5, 3, 1, 1, 1, requires_grad=True)
    clips = torch.randn(2, 3, 4, 6, 6, requires_grad=True)

    def work() -> None:
        functional.conv3d(clips, weight).sum().backward()

    assert operations.flops(work) == 3 * 2 * (2 * 5 * 3 * 4 * 6 * 6)
    ten = torch.randn(10)
    assert operations.traffic(lambda: ten + ten) == 3 * 10 * 4
    assert operations.traffic(lambda: ten.view(2, 5)) == 0
    count, spent = operations.kernels(lambda: ten + ten, torch.device("cpu"))
    assert (count, set(spent)) == (1, {"elementwise"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("void cudnn::cnn::dgrad2d_grouped_direct_kernel<__nv_bfloat16, int>", "convolution"),
        ("sm90_xmma_fprop_implicit_gemm_bf16bf16", "convolution"),
        ("at::native::reduce_kernel<128, 4, ReduceOp<float, WelfordOps<float>>>", "BatchNorm"),
        ("batch_norm_backward_reduce_channels_last_kernel<4>", "BatchNorm"),
        ("at::native::unrolled_elementwise_kernel<direct_copy_kernel_cuda>", "copy"),
        ("multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimiser"),
        ("vectorized_elementwise_kernel<4, threshold_kernel>", "elementwise"),
        ("max_pool_forward_nhwc", "pooling"),
        ("sm90_gemm_tn", "matrix product"),
        ("some_kernel", "other"),
    ],
)
def test_a_kernel_is_classified_by_its_name(name, expected) -> None:
    assert operations.kind(name) == expected


def plain_step(*dtype: torch.dtype):
    """The plain network with its optimiser, and a batch for its ``step``."""
    recipe = step_speed.bench_recipe(TINY)
    compute = wiring.build_compute(recipe, "cpu")
    plain = step_speed.plain_moco(recipe, PlainNetwork(recipe.modalities["rgb"]), compute, *dtype)
    return plain, step_speed.random_batch(recipe, {"rgb": 2}, compute).views["rgb"]


@pytest.mark.slow
def test_the_plain_step_in_bfloat16_is_channels_last_and_keeps_its_weights_in_float32() -> None:
    plain, views = plain_step(torch.bfloat16)
    seen = []
    plain.query.features.register_forward_hook(lambda _, clips, maps: seen.extend([clips[0], maps]))
    assert 0 < plain.step(*views) < 10
    assert seen[0].is_contiguous(memory_format=torch.channels_last_3d)
    assert seen[1].dtype == torch.bfloat16
    assert {parameter.dtype for parameter in plain.query.parameters()} == {torch.float32}


@pytest.mark.parametrize(("option", "value"), [("--only", "speed"), ("--clock", "sun")])
def test_an_unknown_benchmark_or_clock_is_refused(tmp_path, capsys, option, value) -> None:
    assert vimix("bench", "--tiny", option, value, "--out", tmp_path / "bench.md") == 2
    assert f"{option} {value}: expected one of" in capsys.readouterr().err
    assert not (tmp_path / "bench.md").exists()


def test_a_ratio_is_that_of_medians_and_its_spread_that_of_pairs() -> None:
    faster = TimedPair("a", "b", theirs=[4.0, 6.0, 8.0], ours=[1.0, 2.0, 4.0], target=3.0)
    assert (faster.ratio, faster.spread, faster.met) == (3.0, (2.0, 4.0), True)
    dearer = TimedPair("a", "b", theirs=[4.0, 6.0, 8.0], ours=[5.0, 9.0, 8.0], target=1.25, faster=False)
    assert (dearer.ratio, dearer.spread, dearer.met) == (8 / 6, (1.0, 1.5), False)
    assert Measure("a", [1.0, 9.0, 2.0], "s", target=2.0).met
    assert runner.missed([faster, dearer]) == ["a"]


def test_two_sides_are_timed_in_turn_and_the_first_pair_does_not_count() -> None:
    calls, now = [], [0.0]

    def side(name: str, cost: float):
        def work() -> None:
            calls.append(name)
            now[0] += cost

        return work

    theirs, ours = interleaved(side("a", 3.0), side("b", 1.0), 2, clock=lambda: now[0])
    assert (theirs, ours) == ([3.0, 3.0], [1.0, 1.0])
    assert calls == ["a", "b"] * 3


def test_what_blend_is_timed_against_computes_the_same() -> None:
    g1, g2 = torch.randn(3, 8, 4, 6, 6), torch.randn(3, 8, 4, 6, 6)
    grid = Grid.of(g1.shape)
    plan = CrossModalCutMix().plan(batch=3, grid=grid, donor=grid, rng=np.random.default_rng(0))
    donor, mask = step_speed.moved_boxes(g1, g2, plan)
    assert torch.equal(masked_mix(g1, donor, mask), blend(g1, g2, plan))


@pytest.mark.slow
def test_the_plain_step_learns_too() -> None:
    """It must be a real training step, or the comparison would be unfair."""
    torch.manual_seed(0)
    plain, views = plain_step()
    before = [parameter.clone() for parameter in plain.key.parameters()]
    losses = [plain.step(*views) for _ in range(3)]
    assert all(0 < loss < 10 for loss in losses)
    assert any(not torch.equal(one, two) for one, two in zip(before, plain.key.parameters(), strict=True))


# --- The scripts of experiments


@pytest.fixture
def peers():
    return runpy.run_path(str(SCRIPTS / "bench_peers.py"))


def test_a_folder_that_is_no_clone_of_a_peer_is_refused(peers, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["bench_peers.py", str(tmp_path)])
    with pytest.raises(SystemExit) as ending:
        peers["main"]()
    assert ending.value.code == 2
    told = capsys.readouterr().err
    assert f"{tmp_path} has neither" in told
    assert "backbone/s3dg.py (CoCLR) nor net/skeletonclr.py (CrosSCLR)" in told


def test_every_peer_has_a_weight_format_and_a_recipe_of_plain_moco(peers) -> None:
    for peer in peers["PEERS"]:
        recipe = peer.recipe(6, 0.0)
        assert peer.layout in LAYOUTS
        assert (recipe.optim.batch, recipe.contrast.bn_groups, recipe.contrast.negatives) == (6, 1, "queue")
        assert recipe.pretrain.mix.policy == "none"
        assert not peer.dropout or recipe.modalities[peer.modality].stgcn.dropout == 0


@pytest.mark.slow
def test_the_gpu_script_measures_on_the_gpu_and_writes_its_files(tmp_path) -> None:
    """Commands are replaced by one that writes down how it was called."""
    for tool in ("vimix", "python"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho {tool} "$@" >> "$CALLS"\n')
        (tmp_path / tool).chmod(0o755)
    calls, out = tmp_path / "calls", tmp_path / "out"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    script = ["sh", str(SCRIPTS / "bench_gpu.sh"), str(out)]
    assert subprocess.run(script, env=environment, check=True, capture_output=True, text=True).stdout
    assert {file.name for file in out.iterdir()} == {"machine.txt", "loader-raw.json", "loader-jpeg.json", "tvl1.txt"}
    lines = [shlex.split(line) for line in calls.read_text().splitlines()]
    assert sum(line[:2] == ["vimix", "bench"] for line in lines) == 2
    assert all("cuda" in line for line in lines if line[1] in ("bench", "bench-data"))
    for line in (line[1:] for line in lines if line[0] == "vimix"):
        group = typer.main.get_command(main.app)
        while hasattr(group, "commands"):
            group = group.commands[line.pop(0)]
        assert group.make_context("vimix", line), "its arguments exist"
    told = subprocess.run(script, env=environment, check=False, capture_output=True, text=True)
    assert told.returncode, "a folder that exists is not written to again"
