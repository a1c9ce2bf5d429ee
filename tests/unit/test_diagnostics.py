"""Measures of collapse, each against a naive version, closed forms and invariances; and snapshots."""

import itertools
import math

import numpy as np
import pytest
import structlog
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_contrast import seeds, unit
from vimix.domain.contrast.diagnostics import (
    alignment,
    effective_rank,
    looks_collapsed,
    margin,
    statistics_gap,
    uniformity,
)
from vimix.domain.contrast.snapshot import Snapshot
from vimix_adapters.metrics.training_warnings import REPEAT, CollapseWarning


@given(rows=st.integers(2, 7), size=st.integers(1, 6), seed=seeds)
def test_the_measures_are_the_naive_ones(rows, size, seed) -> None:
    z, keys = unit(rows, size, seed), unit(rows, size, seed + 1)
    a, b = z.double().numpy(), keys.double().numpy()
    distances = [sum((x - y) ** 2) for x, y in zip(a, b, strict=True)]
    assert float(alignment(z, keys)) == pytest.approx(np.mean(distances), abs=1e-5)
    pairs = [math.exp(-2 * sum((x - y) ** 2)) for x, y in itertools.combinations(a, 2)]
    assert float(uniformity(z)) == pytest.approx(math.log(np.mean(pairs)), abs=1e-4)
    shares = np.linalg.svd(a, compute_uv=False)
    shares = shares / shares.sum()
    entropy = -sum(share * math.log(share) for share in shares if share > 0)
    assert float(effective_rank(z)) == pytest.approx(math.exp(entropy), rel=1e-3)


@given(rows=st.integers(1, 5), others=st.integers(0, 4), first=st.integers(0, 3), seed=seeds)
def test_the_margin_is_the_naive_one(rows, others, first, seed) -> None:
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, (rows, first + rows + others)).astype(np.float32)
    excluded = rng.random(cosines.shape) < 0.4
    excluded[np.arange(rows), first + np.arange(rows)] = False
    margins = []
    for i in range(rows):
        negatives = [c for j, c in enumerate(cosines[i]) if j != first + i and not excluded[i, j]]
        margins.append(cosines[i, first + i] - (np.mean(negatives) if negatives else 0))
    found = margin(torch.from_numpy(cosines), torch.from_numpy(excluded), first)
    assert float(found) == pytest.approx(np.mean(margins), abs=1e-5)


def test_the_gap_of_statistics_is_the_naive_one_and_none_between_an_encoder_and_its_copy() -> None:
    layers = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    layers(torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))
    key = {name: tensor.clone() for name, tensor in layers.state_dict().items()}
    same = statistics_gap(layers.state_dict(), key)
    assert (float(same["bn_mean_gap"]), float(same["bn_variance_ratio"])) == (0, pytest.approx(1))
    layers(3 * torch.randn(16, 3, generator=torch.Generator().manual_seed(1)) + 1)
    gaps, logs = [], []
    for number in ("0", "2"):
        for channel in range(len(key[f"{number}.running_mean"])):
            (mean, variance), (key_mean, key_variance) = (
                (float(state[f"{number}.running_mean"][channel]), float(state[f"{number}.running_var"][channel]) + 1e-5)
                for state in (layers.state_dict(), key)
            )
            gaps.append(abs(mean - key_mean) / math.sqrt(key_variance))
            logs.append(math.log(variance / key_variance))
    found = statistics_gap(layers.state_dict(), key)
    assert float(found["bn_mean_gap"]) == pytest.approx(np.mean(gaps), rel=1e-5)
    assert float(found["bn_variance_ratio"]) == pytest.approx(math.exp(np.mean(logs)), rel=1e-5)
    assert statistics_gap({"0.weight": torch.ones(2)}, {"0.weight": torch.ones(2)}) == {}


def test_one_point_and_an_orthonormal_frame_are_the_two_ends() -> None:
    point, frame = unit(1, 8, 0).repeat(6, 1), torch.eye(6, 8)
    assert float(effective_rank(point)) == pytest.approx(1, abs=1e-5)
    assert float(effective_rank(frame)) == pytest.approx(6)
    assert float(uniformity(point)) == pytest.approx(0, abs=1e-5)
    assert float(uniformity(frame)) == pytest.approx(-4)
    assert float(alignment(frame, frame)) == 0
    assert float(margin(torch.eye(4), torch.zeros(4, 4, dtype=torch.bool))) == 1
    assert float(uniformity(frame[:1])) == 0


def test_a_collapse_is_warned_of_when_it_begins_and_skipped_steps_when_there_are_more() -> None:
    warning = CollapseWarning(possible_rank=128)
    ranks = [40.0, 7.0, 6.0, 30.0, 1.5]
    with structlog.testing.capture_logs() as logs:
        for step, rank in enumerate(ranks):
            warning.on_row(step, {"effective_rank": rank, "bad_steps": float(step > 2)})
        warning.on_row(9, {"loss": 1.0})
    events = [(log["event"], log["step"]) for log in logs]
    assert events == [("embeddings.look_collapsed", 1), ("steps.skipped", 3), ("embeddings.look_collapsed", 4)]
    assert "contrast.queue = 0" in logs[0]["advice"], "what the measurements on small sets found"


@pytest.mark.parametrize(("possible", "threshold"), [(16, 2.5), (32, 2.5), (64, 4), (128, 8)])
def test_embeddings_look_collapsed_below_the_rank_that_the_documentation_names(possible, threshold) -> None:
    assert looks_collapsed(threshold - 0.1, possible)
    assert not looks_collapsed(threshold + 0.1, possible)


def test_a_collapse_is_warned_of_again_while_it_lasts() -> None:
    warning = CollapseWarning(possible_rank=128)
    with structlog.testing.capture_logs() as logs:
        for row in range(2 * REPEAT + 1):
            warning.on_row(row, {"effective_rank": 1.5})
    assert [log["step"] for log in logs] == [0, REPEAT, 2 * REPEAT]


def tensors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    channels_last = torch.randn(2, 3, 4, 5, 6, generator=generator).to(memory_format=torch.channels_last_3d)
    return [torch.randn(3, 4, generator=generator), channels_last, torch.arange(5), torch.tensor(7), torch.zeros(0, 3)]


@pytest.mark.parametrize("bad", [True, False])
def test_a_snapshot_is_put_back_where_it_is_asked_for_to_the_last_bit(bad) -> None:
    """NaN and infinity are undone too, which arithmetic could not do."""
    live, before = tensors(), tensors()
    parameter = torch.nn.Parameter(torch.ones(2))
    snapshot = Snapshot([*live, parameter])
    for tensor in live:
        tensor.mul_(3)
    live[0][0, 0] = torch.nan
    parameter.data.fill_(torch.inf)
    changed = [tensor.clone() for tensor in live]
    snapshot.restore_where(torch.tensor(bad))
    for tensor, expected in zip(live, before if bad else changed, strict=True):
        assert torch.equal(tensor.nan_to_num(9.0), expected.nan_to_num(9.0))
        assert tensor.stride() == expected.stride()
    assert parameter.tolist() == ([1.0, 1.0] if bad else [torch.inf, torch.inf])
