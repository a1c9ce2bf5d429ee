"""Policies draw legal plans; blending does what the formulas say, checked against loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vimix
from vimix.domain.mixing.boxes import Interval, centred, placed
from vimix.domain.mixing.policies import DIMS

BOXED = [vimix.TemporalCutMix, vimix.VideoMix, vimix.SpatioTemporalCutMix]
INPUT_SPACE = [vimix.Mixup, *BOXED]

sizes = st.tuples(*[st.integers(1, 6)] * 4)
seeds = st.integers(0, 2**32 - 1)


def maps(batch: int, grid: vimix.Grid, seed: int) -> torch.Tensor:
    return torch.randn(batch, *grid.sizes, generator=torch.Generator().manual_seed(seed))


def naive_blend(g1: np.ndarray, g2: np.ndarray, plan: vimix.MixPlan) -> np.ndarray:
    """Cell by cell, straight from the definitions."""
    mixed = g1.copy()
    for i, cell in np.ndindex(len(g1), int(np.prod(g1.shape[1:]))):
        position = np.unravel_index(cell, g1.shape[1:])
        if plan.cut is None:
            other = g2[(plan.partner[i], *position)]
            mixed[(i, *position)] = plan.weight[i] * g1[(i, *position)] + (1 - plan.weight[i]) * other
            continue
        offset = np.array(position) - plan.cut.start[i]
        if (offset >= 0).all() and (offset < plan.cut.extent[i]).all():
            mixed[(i, *position)] = g2[(plan.partner[i], *(plan.cut.donor_start[i] + offset))]
    return mixed


def replaced_share(grid: vimix.Grid, plan: vimix.MixPlan) -> np.ndarray:
    """The share of each row that differs from an all-zero map when ones are pasted into it."""
    zeros = torch.zeros(len(plan), *grid.sizes)
    assert plan.cut is not None
    largest = tuple(int(n) for n in (plan.cut.donor_start + plan.cut.extent).max(axis=0).clip(1))
    pasted = vimix.blend(zeros, torch.ones(len(plan), *largest), plan)
    return pasted.flatten(1).mean(1).numpy()


@pytest.mark.parametrize("policy", INPUT_SPACE)
@given(size=sizes, batch=st.integers(1, 4), per_sample=st.booleans(), seed=seeds)
def test_an_input_policy_blends_as_the_loops_do(policy, size, batch, per_sample, seed) -> None:
    grid = vimix.Grid(size)
    plan = policy(alpha=1.0, per_sample=per_sample).plan(batch=batch, grid=grid, rng=np.random.default_rng(seed))
    g1, g2 = maps(batch, grid, 0), maps(batch, grid, 1)
    np.testing.assert_allclose(vimix.blend(g1, g2, plan), naive_blend(g1.numpy(), g2.numpy(), plan), atol=1e-6)


@given(mine=sizes, donors=sizes, batch=st.integers(1, 4), per_sample=st.booleans(), seed=seeds)
def test_the_full_cross_modal_cut_fits_any_two_grids(mine, donors, batch, per_sample, seed) -> None:
    grid, donor = vimix.Grid(mine), vimix.Grid(donors)
    policy = vimix.CrossModalCutMix(per_sample=per_sample)
    plan = policy.plan(batch=batch, grid=grid, donor=donor, rng=np.random.default_rng(seed))
    g1, g2 = maps(batch, grid, 0), maps(batch, donor, 1)
    kept = g1.clone(), g2.clone()
    np.testing.assert_array_equal(vimix.blend(g1, g2, plan), naive_blend(g1.numpy(), g2.numpy(), plan))
    assert torch.equal(g1, kept[0])
    assert torch.equal(g2, kept[1])
    cut = plan.cut
    assert (cut.extent >= 0).all()
    assert (cut.start >= 0).all()
    assert (cut.start + cut.extent <= grid.sizes).all()
    assert (cut.donor_start >= 0).all()
    assert (cut.donor_start + cut.extent <= donor.sizes).all()


@pytest.mark.parametrize("policy", [*BOXED, vimix.CrossModalCutMix])
@given(size=sizes, seed=seeds)
def test_the_weight_is_the_volume_that_is_left(policy, size, seed) -> None:
    grid = vimix.Grid(size)
    plan = policy().plan(batch=3, grid=grid, rng=np.random.default_rng(seed))
    np.testing.assert_allclose(plan.weight, 1 - replaced_share(grid, plan), atol=1e-6)


@pytest.mark.parametrize("policy", [*INPUT_SPACE, vimix.CrossModalCutMix])
def test_one_draw_for_the_batch_gives_all_rows_the_same_mix(policy) -> None:
    plan = policy(per_sample=False).plan(batch=6, grid=vimix.Grid((8, 8, 8, 8)), rng=np.random.default_rng(3))
    assert len(set(plan.weight.tolist())) == 1
    each = policy(per_sample=True).plan(batch=6, grid=vimix.Grid((8, 8, 8, 8)), rng=np.random.default_rng(3))
    assert len(set(each.weight.tolist())) > 1


@pytest.mark.parametrize("policy", [*INPUT_SPACE, vimix.CrossModalCutMix])
def test_partners_are_a_permutation_and_the_same_seed_draws_the_same_plan(policy) -> None:
    grid = vimix.Grid((4, 4, 6, 6))
    one, two = (policy().plan(batch=9, grid=grid, rng=np.random.default_rng(11)) for _ in range(2))
    assert sorted(one.partner) == list(range(9))
    assert one == two


@pytest.mark.parametrize(("policy", "axes"), [(vimix.TemporalCutMix, "t"), (vimix.VideoMix, "hw")])
def test_axes_that_are_not_cut_are_replaced_whole(policy, axes) -> None:
    grid = vimix.Grid((3, 7, 8, 9))
    plan = policy().plan(batch=5, grid=grid, rng=np.random.default_rng(0))
    for axis, name in enumerate("cthw"):
        if name not in axes:
            assert (plan.cut.extent[:, axis] == grid.sizes[axis]).all()


@pytest.mark.parametrize("policy", [*BOXED, vimix.CrossModalCutMix])
def test_on_fine_grids_the_replaced_share_follows_the_beta_draw(policy) -> None:
    """E[1-λ] is 1/2 before clipping; clipping takes some of it away, the same box placed twice takes more."""
    grid = vimix.Grid((1, 64, 64, 64))
    plan = policy().plan(batch=4000, grid=grid, rng=np.random.default_rng(0))
    replaced = 1 - plan.weight.mean()
    # Closed form: a run of share s around a uniform centre keeps s - s²/4 of it on average; s = u^(1/d), u uniform.
    d = {vimix.TemporalCutMix: 1, vimix.VideoMix: 2, vimix.SpatioTemporalCutMix: 3}.get(policy)
    if d is not None:
        u = np.linspace(0, 1, 100_001) ** (1 / d)
        assert replaced == pytest.approx(((u - u**2 / 4) ** d).mean(), abs=0.02)
    else:
        assert 0.05 < replaced < 0.5


def test_clipping_moves_both_boxes_by_the_same_offset() -> None:
    """Every pasted voxel keeps its distance to the source box's centre."""
    rng = np.random.default_rng(5)
    donor = Interval(np.full(2000, 2), np.full(2000, 7))
    mine, kept = placed(6, donor, rng)
    assert (mine.extent == kept.extent).all()
    assert (mine.start >= 0).all()
    assert (mine.stop <= 6).all()
    clipped_low = kept.start > donor.start
    assert clipped_low.any()
    assert (mine.start[clipped_low] == 0).all()
    clipped_high = kept.stop < donor.stop
    assert clipped_high.any()
    assert (mine.stop[clipped_high] == 6).all()


def test_centres_are_uniform_so_that_every_cell_is_covered_alike_away_from_the_borders() -> None:
    runs = centred(40, np.full(20_000, 4.0), np.random.default_rng(0))
    covered = np.zeros(40)
    for start, stop in zip(runs.start, runs.stop, strict=True):
        covered[start:stop] += 1
    inner = covered[4:-4]
    assert inner.std() / inner.mean() < 0.05


def test_an_empty_box_is_legal_and_leaves_everything() -> None:
    plan = vimix.MixPlan(
        partner=np.array([1, 0]),
        weight=np.ones(2, dtype=np.float32),
        cut=vimix.Cut(*(np.zeros((2, 4), dtype=np.int64) for _ in range(3))),
    )
    g1, g2 = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(vimix.blend(g1, g2, plan), g1)


@pytest.mark.parametrize("policy", [vimix.Mixup, vimix.TemporalCutMix, vimix.CrossModalCutMix])
def test_blending_commutes_with_a_relabelling_of_the_batch(policy) -> None:
    """Permuting the rows of the clips and of the plan permutes the rows of the result."""
    grid, order = vimix.Grid((2, 4, 5, 5)), np.array([2, 0, 3, 1])
    plan = policy().plan(batch=4, grid=grid, rng=np.random.default_rng(1))
    place = np.argsort(order)
    cut = plan.cut and vimix.Cut(plan.cut.start[order], plan.cut.donor_start[order], plan.cut.extent[order])
    relabelled = vimix.MixPlan(place[plan.partner[order]], plan.weight[order], cut)
    g1, g2 = maps(4, grid, 0), maps(4, grid, 1)
    torch.testing.assert_close(vimix.blend(g1[order], g2[order], relabelled), vimix.blend(g1, g2, plan)[order])


def test_a_skeletons_persons_are_never_cut_apart() -> None:
    grid, donor = vimix.Grid((4, 6, 25, 2), planar=False), vimix.Grid((8, 3, 25, 2), planar=False)
    plan = vimix.CrossModalCutMix().plan(batch=50, grid=grid, donor=donor, rng=np.random.default_rng(0))
    assert (plan.cut.extent[:, 3] == 2).all()
    assert len(set(plan.cut.extent[:, 2].tolist())) > 5


def test_maps_with_one_axis_of_space_are_blended_like_those_with_two() -> None:
    g1, g2 = torch.randn(4, 3, 6, 25), torch.randn(4, 5, 3, 25)
    plan = vimix.CrossModalCutMix().plan(
        batch=4, grid=vimix.Grid.of(g1.shape), donor=vimix.Grid.of(g2.shape), rng=np.random.default_rng(2)
    )
    expected = vimix.blend(g1[..., None], g2[..., None], plan)[..., 0]
    assert torch.equal(vimix.blend(g1, g2, plan), expected)


def test_the_vertex_side_is_the_share_itself_and_the_planar_side_its_root() -> None:
    """Section 4: one axis of space has exponent 1, two have 1/2; before clipping and with λ the same."""
    line = vimix.CrossModalCutMix().plan(
        batch=4000, grid=vimix.Grid((1, 1, 400, 1), planar=False), rng=np.random.default_rng(0)
    )
    square = vimix.CrossModalCutMix().plan(batch=4000, grid=vimix.Grid((1, 1, 400, 400)), rng=np.random.default_rng(0))
    s = np.linspace(0, 1, 100_001)
    # The source run is clipped once; its place is clipped again: of a run of share e stays e - e²/4 on average.
    for plan, share in ((line, s), (square, np.sqrt(s))):
        rng = np.random.default_rng(9)
        centres = rng.random(s.size)
        source = np.minimum(centres + share / 2, 1) - np.maximum(centres - share / 2, 0)
        expected = (source - source**2 / 4).mean()
        assert plan.cut.extent[:, 2].mean() / 400 == pytest.approx(expected, abs=0.01)


def test_unequal_axes_that_are_taken_whole_are_refused_with_the_way_out() -> None:
    grid, donor = vimix.Grid((4, 4, 6, 6)), vimix.Grid((8, 4, 6, 6))
    for policy in (vimix.Mixup(), vimix.CrossModalCutMix(dims="hw"), vimix.CrossModalCutMix(dims="thw")):
        with pytest.raises(ValueError, match=r"channel axis has 4 cells here and 8 in the donor.*same layer"):
            policy.plan(batch=2, grid=grid, donor=donor, rng=np.random.default_rng(0))


@pytest.mark.parametrize("dims", DIMS)
def test_axes_outside_dims_are_taken_whole_and_axes_inside_move(dims) -> None:
    grid = vimix.Grid((6, 6, 12, 12))
    plan = vimix.CrossModalCutMix(dims=dims).plan(batch=200, grid=grid, rng=np.random.default_rng(0))
    for axis, name in enumerate("cthw"):
        moved = (plan.cut.start[:, axis] != plan.cut.donor_start[:, axis]).any()
        assert moved == (name in dims)
        if name not in dims:
            assert (plan.cut.extent[:, axis] == grid.sizes[axis]).all()


@pytest.mark.parametrize("per_sample", [True, False])
def test_gradients_of_a_cut_match_numerical_ones(per_sample) -> None:
    g1 = torch.randn(3, 2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    g2 = torch.randn(3, 3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    plan = vimix.CrossModalCutMix(per_sample=per_sample).plan(
        batch=3, grid=vimix.Grid.of(g1.shape), donor=vimix.Grid.of(g2.shape), rng=np.random.default_rng(4)
    )
    assert plan.weight.min() < 1
    assert torch.autograd.gradcheck(lambda a, b: vimix.blend(a, b, plan), (g1, g2))


def test_a_blend_keeps_the_memory_format_and_the_dtype() -> None:
    g1 = torch.randn(2, 4, 3, 5, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
    g2 = torch.randn(2, 4, 3, 5, 5)
    for policy in (vimix.Mixup(), vimix.CrossModalCutMix()):
        plan = policy.plan(batch=2, grid=vimix.Grid.of(g1.shape), rng=np.random.default_rng(0))
        mixed = vimix.blend(g1, g2, plan)
        assert mixed.dtype == torch.bfloat16
        assert mixed.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("per_sample", [True, False])
def test_what_is_pasted_is_rounded_to_the_dtype_it_is_pasted_into(per_sample) -> None:
    g1, g2 = torch.randn(3, 4, 3, 5, 5, dtype=torch.bfloat16), torch.randn(3, 4, 3, 5, 5)
    plan = vimix.CrossModalCutMix(per_sample=per_sample).plan(
        batch=3, grid=vimix.Grid.of(g1.shape), rng=np.random.default_rng(4)
    )
    assert plan.weight.min() < 1
    assert torch.equal(vimix.blend(g1, g2, plan), vimix.blend(g1, g2.to(torch.bfloat16), plan))


def test_a_donor_that_is_taken_twice_gets_both_gradients() -> None:
    """A plan need not be drawn by a policy; here both rows take the same cells of row 0."""
    box = np.array([[0, 0, 1, 1]] * 2)
    cut = vimix.Cut(start=box, donor_start=box, extent=np.array([[2, 3, 2, 2], [2, 3, 2, 3]]))
    plan = vimix.MixPlan(partner=np.array([0, 0]), weight=np.array([0.5, 0.5], dtype=np.float32), cut=cut)
    g1, g2 = torch.randn(2, 2, 3, 4, 4), torch.randn(2, 2, 3, 4, 4, requires_grad=True)
    vimix.blend(g1, g2, plan).sum().backward()
    expected = torch.zeros(2, 2, 3, 4, 4)
    expected[0, :, :, 1:3, 1:3] = 2
    expected[0, :, :, 1:3, 3] = 1
    assert torch.equal(g2.grad, expected)


def test_a_plan_for_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="the plan is for 3 rows, the maps have 2 and 2"):
        vimix.blend(torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1, 1, 1, 1), vimix.MixPlan.unmixed(3))


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_an_impossible_alpha_is_refused(alpha) -> None:
    with pytest.raises(ValueError, match="alpha"):
        vimix.Mixup(alpha=alpha)
