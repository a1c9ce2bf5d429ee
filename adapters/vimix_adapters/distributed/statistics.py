"""BatchNorm's running statistics in a group."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vimix.ports.process_group import ProcessGroup


class SharedStatistics:
    """Running statistics as if the members' batches had passed one network one after the other, in order of rank.

    A member's batch maps them to keep·r + change, with keep = (1 - momentum)^groups; the maps of all members are
    applied to what stood before. So all members hold the same, those of one process with W times as many groups.
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
        """Around one pass of this member's batch through the network in train mode."""
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
        # By way of ``data``: autograd would miss the statistics that it saw, which a backward pass in training ignores.
        torch._foreach_copy_(
            [s.data for s in self._statistics], list(torch.split(value, [len(s) for s in self._statistics]))
        )
        torch._foreach_add_(self._counts, (self._group.size - 1) * self._groups)
