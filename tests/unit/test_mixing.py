"""Shares of policies against closed forms, and what blending keeps; test_mixing_naive checks both against loops."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

import vimix

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
