"""BatchNorm's running statistics in a process group."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vimix.ports.process_group import ProcessGroup


class SharedStatistics:
    """Running statistics as if the batches of all ranks had passed one network one after the other, in order of rank.

    The batch of a rank maps the statistics r to keep·r + change with keep = (1 - momentum)^groups. The maps of all
    ranks are applied in turn, so that all ranks hold the statistics of one process with W times as many groups.
    """

    def __init__(self, network: nn.Module, groups: int, group: ProcessGroup) -> None:
        norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        self._network, self._groups, self._group = network, groups, group
        self._statistics: list[Tensor] = [s for m in norms for s in (m.running_mean, m.running_var) if s is not None]
        self._counts: list[Tensor] = [m.num_batches_tracked for m in norms if m.num_batches_tracked is not None]
        keep = [(1 - float(m.momentum or 0)) ** groups for m in norms for _ in range(2)]
        filled = [torch.full_like(s, share) for s, share in zip(self._statistics, keep, strict=True)]
        self._keep = torch.cat(filled) if filled else torch.empty(0)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Combine the statistics of all ranks after a pass of the network in train mode within this context."""
        if not self._statistics or not self._network.training:
            yield
            return
        before = torch.cat(self._statistics)
        yield
        self._fold(before)

    @torch.no_grad()
    def _fold(self, before: Tensor) -> None:
        value = before
        for change in self._group.all_gather((torch.cat(self._statistics) - self._keep * before)[None]):
            value = self._keep * value + change
        # Writing through ``data`` hides the change from autograd, which would report it although backward ignores it.
        torch._foreach_copy_(
            [s.data for s in self._statistics], list(torch.split(value, [len(s) for s in self._statistics]))
        )
        torch._foreach_add_(self._counts, (self._group.size - 1) * self._groups)
