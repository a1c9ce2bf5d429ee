"""Undoing a step, decided on the device."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Snapshot:
    """A copy of the values of some tensors, to be restored in place if a step turns out bad.

    It takes a handful of kernels whatever the number of tensors, and the host does not wait for the device. The tensors
    must be dense (in any memory format) and lie on one device.
    """

    @torch.no_grad()
    def __init__(self, tensors: Iterable[Tensor]) -> None:
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(tensor.dtype, []).append(_flat(tensor))
        self._kept = [(views, torch.cat(views)) for views in by_dtype.values()]

    @torch.no_grad()
    def restore_where(self, flag: Tensor) -> None:
        """Restore all tensors if the bool scalar ``flag`` is true, else leave them unchanged."""
        if flag.is_cpu and not flag:  # reading a flag on the CPU costs nothing
            return
        for views, before in self._kept:
            chosen = torch.where(flag, before, torch.cat(views))
            torch._foreach_copy_(views, list(torch.split(chosen, [len(view) for view in views])))


def _flat(tensor: Tensor) -> Tensor:
    """The memory of a dense tensor as a one-dimensional view."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))
