"""Taking a step back, decided on the device."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Snapshot:
    """The values of some tensors, to be put back in place if a step turns out bad.

    A handful of kernels whatever the number of tensors, and no look at the device from the host. The tensors must be
    dense (any memory format) and lie on one device.
    """

    @torch.no_grad()
    def __init__(self, tensors: Iterable[Tensor]) -> None:
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault(tensor.dtype, []).append(_line(tensor))
        self._kept = [(lines, torch.cat(lines)) for lines in kinds.values()]

    @torch.no_grad()
    def restore_where(self, flag: Tensor) -> None:
        """Restore all tensors if the bool scalar ``flag`` is true; else leave them as they are now."""
        if flag.is_cpu and not flag:  # nothing to wait for
            return
        for lines, before in self._kept:
            chosen = torch.where(flag, before, torch.cat(lines))
            _copy(lines, torch.split(chosen, [len(line) for line in lines]))


def _line(tensor: Tensor) -> Tensor:
    """The memory of a dense tensor as one row of numbers."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _copy(lines: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    torch._foreach_copy_(list(lines), list(values))
