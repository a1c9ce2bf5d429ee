"""Applies a plan to tensors."""

from typing import Any

import torch
from torch import Tensor

from vimix.values.mixing import Cut, Integers, MixPlan


def blend(g1: Tensor, g2: Tensor, plan: MixPlan) -> Tensor:
    """``g1`` mixed with rows ``plan.partner`` of ``g2`` (Eq. 3, 4 and 7).

    ``g1`` is [B, c1, t1, h1, w1] or [B, c1, t1, v1]. ``g2`` has as many axes; if the plan interpolates, its sizes must
    be equal to those of ``g1``. Returns a new tensor of the shape, dtype and memory format of ``g1``; the inputs are
    unchanged. Gradients flow to both. Raises ValueError if the batch sizes do not fit the plan.
    """
    if len(g1) != len(plan) or len(g2) != len(plan):
        raise ValueError(f"the plan is for {len(plan)} rows, the maps have {len(g1)} and {len(g2)}")
    if plan.cut is not None:
        return _paste(g1, g2, plan.partner, plan.cut)
    if not (plan.weight < 1).any():
        return g1.clone()
    share = torch.from_numpy(1 - plan.weight).to(g1.device, g1.dtype, non_blocking=True).view(-1, *[1] * (g1.ndim - 1))
    return torch.lerp(g1, _rows(g2, plan.partner).to(g1.dtype), share)


def _rows(maps: Tensor, numbers: Integers) -> Tensor:
    """The rows of ``maps`` with these numbers; a single row is a view, which costs neither a copy nor a transfer."""
    if len(numbers) == 1:
        return maps.narrow(0, int(numbers[0]), 1)
    return maps.index_select(0, _on_device(numbers, maps))


def _on_device(numbers: Integers, maps: Tensor) -> Tensor:
    return torch.from_numpy(numbers).to(maps.device, non_blocking=True)


def _paste(g1: Tensor, g2: Tensor, partner: Integers, cut: Cut) -> Tensor:
    if g1.ndim == 4:
        return _paste(g1.unsqueeze(-1), g2.unsqueeze(-1), partner, cut).squeeze(-1)
    mixed: Tensor = _Paste.apply(g1, g2, partner, cut)
    return mixed


class _Paste(torch.autograd.Function):
    """Copies box by box: no mask is built, and only the boxes are touched. Autograd would copy the map for each box."""

    @staticmethod
    def forward(ctx: Any, g1: Tensor, g2: Tensor, partner: Integers, cut: Cut) -> Tensor:
        ctx.cut, ctx.partner, ctx.donor = cut, partner, (g2.shape, g2.dtype)
        mixed = g1.clone()
        for rows, mine, donors in _boxes(cut):
            mixed[rows][mine] = _rows(g2[donors], partner[rows])
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        grad1, grad2 = None, None
        if ctx.needs_input_grad[1]:
            shape, dtype = ctx.donor
            grad2 = grad.new_zeros(shape, dtype=dtype)
            for rows, mine, donors in _boxes(ctx.cut):
                grad2[donors].index_add_(0, _on_device(ctx.partner[rows], grad), grad[rows][mine].to(dtype))
        if ctx.needs_input_grad[0]:
            grad1 = grad.clone()
            for rows, mine, _ in _boxes(ctx.cut):
                grad1[rows][mine] = 0
        return grad1, grad2, None, None


Slices = tuple[slice, ...]


def _boxes(cut: Cut) -> list[tuple[slice, Slices, Slices]]:
    """(rows, box in g1, box in the donor) for each row, or once for the whole batch if all rows share the box."""
    groups = [slice(i, i + 1) for i in range(len(cut.start))]
    columns = (cut.start, cut.donor_start, cut.extent)
    if all((column == column[:1]).all() for column in columns):
        groups = [slice(0, len(cut.start))]
    return [
        (
            rows,
            _slices(cut.start[rows.start], cut.extent[rows.start]),
            _slices(cut.donor_start[rows.start], cut.extent[rows.start]),
        )
        for rows in groups
        if cut.extent[rows.start].all()
    ]


def _slices(start: Any, extent: Any) -> Slices:
    return slice(None), *(slice(int(a), int(a + n)) for a, n in zip(start, extent, strict=True))
