"""The benchmarks run and write a table, and their arithmetic is right. No test here depends on speed."""

import numpy as np
import pytest
import torch

from tests.cli import vimix
from vimix.domain.mixing.blend import blend
from vimix.domain.mixing.policies import CrossModalCutMix
from vimix.values.grid import Grid
from vimix_adapters import wiring
from vimix_adapters.benchmarks import runner, steps
from vimix_adapters.benchmarks.bench_settings import TINY
from vimix_adapters.benchmarks.plain import PlainNetwork, masked_mix
from vimix_adapters.benchmarks.timing import Measure, TimedPair, interleaved


@pytest.mark.slow
def test_every_benchmark_leaves_its_lines_in_the_table(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("vimix_adapters.benchmarks.pipeline.STARTS", 1)
    assert vimix("bench", "--tiny", "--out", tmp_path / "bench.md") == 0
    table = (tmp_path / "bench.md").read_text()
    for name in (
        "S3D MoCo step",
        "ST-GCN MoCo step",
        "CMMC step",
        "blend",
        "data_time",
        "exact retrieval",
        "linear probe",
        "vimix --help",
    ):
        assert f"| {name} |" in table
    assert "commit" in table
    assert "| blend |" in capsys.readouterr().out


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
    donor, mask = steps.moved_boxes(g1, g2, plan)
    assert torch.equal(masked_mix(g1, donor, mask), blend(g1, g2, plan))


def test_the_plain_step_learns_too() -> None:
    """It must be a real training step, or the comparison would be unfair."""
    torch.manual_seed(0)
    recipe = steps.bench_recipe(TINY)
    compute = wiring.build_compute(recipe, "cpu")
    plain = steps.plain_moco(recipe, PlainNetwork(recipe.modalities["rgb"]), compute)
    before = [parameter.clone() for parameter in plain.key.parameters()]
    batch = steps.random_batch(recipe, {"rgb": 2}, compute)
    losses = [plain.step(*batch.views["rgb"]) for _ in range(3)]
    assert all(0 < loss < 10 for loss in losses)
    assert any(not torch.equal(one, two) for one, two in zip(before, plain.key.parameters(), strict=True))
