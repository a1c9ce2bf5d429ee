"""Plans drawn row by row, as the method writes them, from the same numbers: sides, places, clipping, weights."""

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vimix
from tests.unit.test_mixing import BOXED, INPUT_SPACE, maps, naive_blend, seeds, sizes
from vimix.domain.mixing.policies import DIMS, EXTENTS

SHARES = {vimix.TemporalCutMix: "t", vimix.VideoMix: "hw", vimix.SpatioTemporalCutMix: "thw"}
CROSS_MODAL = [
    vimix.CrossModalCutMix(dims=dims, per_sample=each, extent=extent)
    for dims in DIMS
    for each in (True, False)
    for extent in EXTENTS
]


def clipped(centre: float, side: float, size: int) -> tuple[int, int]:
    """A run around a centre, rounded to cells and clipped to the axis."""
    start, stop = round(centre - side / 2), round(centre + side / 2)
    return min(max(start, 0), size), min(max(stop, 0), size)


def draws(rng: np.random.Generator, rows: int, size: int, per_sample: bool) -> list[float]:
    """Centres uniform in [0, size], one a row or one for all."""
    found = rng.uniform(0, size, rows if per_sample else 1).tolist()
    return found if per_sample else found * rows


def naive_boxes(policy, grid: vimix.Grid, rows: int, rng: np.random.Generator):
    """Weights, partners and boxes of the input-space cuts (Table 1), one row after the other."""
    lam = rng.beta(1, 1, rows).tolist() if policy.per_sample else [rng.beta(1, 1)] * rows
    partner = rng.permutation(rows)
    axes = [axis for axis in SHARES[type(policy)] if grid.planar or axis != "w"]
    boxes = [[] for _ in range(rows)]
    for axis, size in zip("cthw", grid.sizes, strict=True):
        if axis not in axes:
            runs = [(0, size)] * rows
        else:
            sides = [size * (1 - value) ** (1 / len(axes)) for value in lam]
            centres = draws(rng, rows, size, policy.per_sample)
            runs = [clipped(c, s, size) for c, s in zip(centres, sides, strict=True)]
        for box, run in zip(boxes, runs, strict=True):
            box.append(run)
    weights = [1 - np.prod([stop - start for start, stop in box]) / np.prod(grid.sizes) for box in boxes]
    return partner, weights, boxes, boxes


def naive_tesseracts(policy, grid: vimix.Grid, donor: vimix.Grid, rows: int, rng: np.random.Generator):
    """Eq. 8 and 9, one row after the other: the source in g2, then its place in g1."""
    lam = rng.beta(1, 1, rows).tolist() if policy.per_sample else [rng.beta(1, 1)] * rows
    partner = rng.permutation(rows)
    space = "hw" if grid.planar else "h"
    moved = [axis for axis in policy.dims if axis not in "hw" or axis in space]
    sources, mine, theirs = ([[] for _ in range(rows)] for _ in range(3))
    for axis, n2 in zip("cthw", donor.sizes, strict=True):
        boxed = axis in space and policy.extent == "box"
        centres = draws(rng, rows, n2, policy.per_sample) if boxed else [0.0] * rows
        for i in range(rows):
            side = n2 * (1 - lam[i]) ** (1 / len(space))
            sources[i].append(clipped(centres[i], side, n2) if boxed else (0, n2))
    for number, (axis, n1) in enumerate(zip("cthw", grid.sizes, strict=True)):
        centres = draws(rng, rows, n1, policy.per_sample) if axis in moved else [0.0] * rows
        for i in range(rows):
            first, last = sources[i][number]
            if axis not in moved:
                mine[i].append((first, last))
                theirs[i].append((first, last))
                continue
            start = round(centres[i] - (last - first) / 2)
            cells = [(start + j, first + j) for j in range(last - first) if 0 <= start + j < n1]
            mine[i].append((cells[0][0], cells[-1][0] + 1) if cells else (0, 0))
            theirs[i].append((cells[0][1], cells[-1][1] + 1) if cells else (0, 0))
    weights = [1 - np.prod([stop - start for start, stop in box]) / np.prod(grid.sizes) for box in mine]
    return partner, weights, mine, theirs


def assert_plan(plan: vimix.MixPlan, partner, weights, mine, theirs) -> None:
    np.testing.assert_array_equal(plan.partner, partner)
    np.testing.assert_allclose(plan.weight, weights, atol=1e-6)
    for i, (box, source) in enumerate(zip(mine, theirs, strict=True)):
        extent = [stop - start for start, stop in box]
        np.testing.assert_array_equal(plan.cut.extent[i], extent)
        if all(extent):  # where a box is empty, its place means nothing
            np.testing.assert_array_equal(plan.cut.start[i], [start for start, _ in box])
            np.testing.assert_array_equal(plan.cut.donor_start[i], [start for start, _ in source])


def assert_blend(plan: vimix.MixPlan, g1: torch.Tensor, g2: torch.Tensor) -> None:
    """The blend is that of the loops, and leaves its inputs as they were."""
    kept = g1.clone(), g2.clone()
    np.testing.assert_allclose(vimix.blend(g1, g2, plan), naive_blend(g1.numpy(), g2.numpy(), plan), atol=1e-6)
    assert torch.equal(g1, kept[0])
    assert torch.equal(g2, kept[1])


@pytest.mark.parametrize("policy", BOXED)
@given(size=sizes, planar=st.booleans(), batch=st.integers(1, 4), per_sample=st.booleans(), seed=seeds)
def test_boxes_of_the_input_space_lie_where_the_loops_put_them(policy, size, planar, batch, per_sample, seed) -> None:
    grid, chosen = vimix.Grid(size, planar=planar), policy(per_sample=per_sample)
    plan = chosen.plan(batch=batch, grid=grid, rng=np.random.default_rng(seed))
    assert_plan(plan, *naive_boxes(chosen, grid, batch, np.random.default_rng(seed)))
    assert_blend(plan, maps(batch, grid, 0), maps(batch, grid, 1))


@pytest.mark.parametrize("policy", CROSS_MODAL)
@given(mine=sizes, theirs=sizes, planar=st.booleans(), batch=st.integers(1, 4), seed=seeds)
def test_tesseracts_lie_where_the_loops_put_them(policy, mine, theirs, planar, batch, seed) -> None:
    whole = [axis for axis in range(4) if "cthw"[axis] not in policy.dims or (axis == 3 and not planar)]
    theirs = tuple(mine[axis] if axis in whole else theirs[axis] for axis in range(4))
    grid, donor = vimix.Grid(mine, planar=planar), vimix.Grid(theirs, planar=planar)
    plan = policy.plan(batch=batch, grid=grid, donor=donor, rng=np.random.default_rng(seed))
    assert_plan(plan, *naive_tesseracts(policy, grid, donor, batch, np.random.default_rng(seed)))
    assert_blend(plan, maps(batch, grid, 0), maps(batch, donor, 1))


@pytest.mark.parametrize("policy", [vimix.Mixup, vimix.ManifoldMixup, vimix.CrossModalMixup])
@given(size=sizes, batch=st.integers(1, 4), per_sample=st.booleans(), seed=seeds)
def test_a_mixup_takes_one_draw_a_row_or_one_for_all(policy, size, batch, per_sample, seed) -> None:
    grid, rng = vimix.Grid(size), np.random.default_rng(seed)
    plan = policy(per_sample=per_sample).plan(batch=batch, grid=grid, rng=np.random.default_rng(seed))
    lam = rng.beta(1, 1, batch) if per_sample else [rng.beta(1, 1)] * batch
    np.testing.assert_allclose(plan.weight, lam, atol=1e-6)
    np.testing.assert_array_equal(plan.partner, rng.permutation(batch))
    assert_blend(plan, maps(batch, grid, 0), maps(batch, grid, 1))


@pytest.mark.parametrize("policy", [*(policy() for policy in INPUT_SPACE), *CROSS_MODAL])
@given(batch=st.integers(1, 5), seed=seeds)
def test_clips_with_one_axis_of_space_are_mixed_as_the_loops_do(policy, batch, seed) -> None:
    """[B, C, T, V], as a batch of skeletons with one person has it."""
    generator = torch.Generator().manual_seed(3)
    g1, g2 = (torch.randn(batch, 3, 4, 7, generator=generator) for _ in range(2))
    plan = policy.plan(batch=batch, grid=vimix.Grid.of(g1.shape), rng=np.random.default_rng(seed))
    expected = naive_blend(g1[..., None].numpy(), g2[..., None].numpy(), plan)[..., 0]
    np.testing.assert_allclose(vimix.blend(g1, g2, plan), expected, atol=1e-6)


@pytest.mark.parametrize("policy", [*(policy() for policy in INPUT_SPACE), vimix.ManifoldMixup(), *CROSS_MODAL])
@given(batch=st.integers(1, 5), seed=seeds)
def test_relabelling_the_batch_relabels_the_mix(policy, batch, seed) -> None:
    grid, rng = vimix.Grid((2, 3, 4, 4)), np.random.default_rng(seed)
    plan, order = policy.plan(batch=batch, grid=grid, rng=rng), rng.permutation(batch)
    cut = plan.cut and vimix.Cut(plan.cut.start[order], plan.cut.donor_start[order], plan.cut.extent[order])
    relabelled = vimix.MixPlan(np.argsort(order)[plan.partner[order]], plan.weight[order], cut)
    g1, g2 = maps(batch, grid, 0), maps(batch, grid, 1)
    torch.testing.assert_close(vimix.blend(g1[order], g2[order], relabelled), vimix.blend(g1, g2, plan)[order])


@pytest.mark.parametrize(
    "policy", [policy for policy in CROSS_MODAL if policy.dims == "cthw" and policy.extent == "box"]
)
def test_boxes_that_vanish_do_happen_and_keep_their_rows_whole(policy) -> None:
    grid, donor = vimix.Grid((2, 2, 2, 2)), vimix.Grid((2, 1, 1, 1))
    vanished = 0
    for seed in range(200):
        plan = policy.plan(batch=3, grid=grid, donor=donor, rng=np.random.default_rng(seed))
        g1, g2 = maps(3, grid, 0), maps(3, donor, 1)
        empty = plan.cut.volumes == 0
        vanished += int(empty.sum())
        assert (plan.weight[empty] == 1).all()
        assert torch.equal(vimix.blend(g1, g2, plan)[empty], g1[empty])
    assert vanished > 20


@pytest.mark.parametrize("policy", CROSS_MODAL)
@given(size=sizes, planar=st.booleans(), batch=st.integers(1, 5), least=st.floats(0, 0.9), seed=seeds)
def test_no_row_keeps_less_than_the_least_weight(policy, size, planar, batch, least, seed) -> None:
    grid = vimix.Grid(size, planar=planar)
    bounded, rng = attrs.evolve(policy, least_weight=least), np.random.default_rng(seed)
    plan = bounded.plan(batch=batch, grid=grid, rng=rng)
    assert (plan.weight >= np.float32(least)).all()
    np.testing.assert_allclose(plan.weight, 1 - plan.cut.volumes / grid.volume, atol=1e-6)
    assert_blend(plan, maps(batch, grid, 0), maps(batch, grid, 1))


@pytest.mark.parametrize("extent", EXTENTS)
def test_weights_above_a_bound_are_those_of_the_paper_given_the_bound(extent) -> None:
    """Rejection leaves the distribution of the boxes that satisfy the bound as it is."""
    grid, rng = vimix.Grid((8, 6, 6, 6)), np.random.default_rng(0)
    free, bounded = vimix.CrossModalCutMix(extent=extent), vimix.CrossModalCutMix(extent=extent, least_weight=0.5)
    drawn = free.plan(batch=20000, grid=grid, rng=rng).weight
    kept = bounded.plan(batch=20000, grid=grid, rng=rng).weight
    assert drawn.min() < 0.5 < drawn.mean()
    levels = [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(np.quantile(kept, levels), np.quantile(drawn[drawn >= 0.5], levels), atol=0.02)


def test_rows_that_no_box_satisfies_are_not_mixed() -> None:
    """On one cell of space and time, without a random channel axis, every box is the whole map."""
    policy = vimix.CrossModalCutMix(dims="thw", extent="map", least_weight=0.5)
    plan = policy.plan(batch=4, grid=vimix.Grid((8, 1, 1, 1)), rng=np.random.default_rng(0))
    np.testing.assert_array_equal(plan.weight, 1)
    assert not plan.cut.volumes.any()
