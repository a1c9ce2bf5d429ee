"""What a step does with a batch that may be spread over several processes."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.domain.mixing.blend import blend
from vimix.ports.process_group import ProcessGroup
from vimix.values.mixing import MixPlan

Item = TypeVar("Item")

MEETING_SECONDS = 2.0
"""Between two signs of life of members that work through lists of their own."""


@frozen
class SingleProcess:
    """Implements ``vimix.ports.process_group.ProcessGroup``: one process, which holds the whole batch."""

    rank: int = 0
    size: int = 1

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows.detach()

    def all_gather_ragged(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows.detach()

    def permute_rows(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """The rows permuted."""
        return rows.detach()[order]

    def any(self, flag: Tensor) -> Tensor:
        """The flag itself."""
        return flag

    def max(self, step: int, wish: int) -> int:
        """The wish itself."""
        del step
        return wish


def videos_of_rank(videos: Sequence[int], group: ProcessGroup) -> list[int]:
    """The videos that this member takes on: all members together have each once, in order of rank."""
    return [int(video) for video in np.array_split(videos, group.size)[group.rank]]


def synchronised(
    items: Iterable[Item], group: ProcessGroup, clock: Callable[[], float] = time.monotonic
) -> Iterator[Item]:
    """The items of this member, while the others work through theirs, be they more, fewer or none.

    Members that are at work meet every few seconds, and those that are done go on meeting them until all are: nobody is
    given up for lost for having more to do.
    """
    met = clock()
    for item in items:
        yield item
        if group.size > 1 and clock() - met > MEETING_SECONDS:
            group.any(torch.tensor(True))
            met = clock()
    while group.size > 1 and group.any(torch.tensor(False)):
        pass


def collected(
    rows: list[NDArray[np.float32]], labels: list[int], videos: list[int], group: ProcessGroup
) -> tuple[list[NDArray[np.float32]], list[int], list[int]]:
    """What all members found of their videos, in order of rank: a row, a label and the number of each."""
    if group.size == 1:
        return rows, labels, videos
    found = torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, 0)
    numbers = group.all_gather_ragged(torch.tensor([labels, videos], dtype=torch.int64).T)
    return list(group.all_gather_ragged(found).numpy()), numbers[:, 0].tolist(), numbers[:, 1].tolist()


def rows_of_rank(plan: MixPlan, group: ProcessGroup) -> MixPlan:
    """The member's rows of a plan for the global batch; their partners still number the rows of that."""
    rows = len(plan) // group.size
    return plan.rows(group.rank * rows, (group.rank + 1) * rows)


def blend_rows_of_rank(g1: Tensor, g2: Tensor, plan: MixPlan, group: ProcessGroup) -> Tensor:
    """The member's rows of ``blend`` over the global batch: partners may be rows of other members.

    ``g1`` and ``g2`` hold this member's B rows, ``plan`` all G. Gradients flow to both, also to the rows of others.
    """
    if group.size == 1:
        return blend(g1, g2, plan)
    donors: Tensor = _PermuteRows.apply(g2, group, plan.partner) if (plan.weight < 1).any() else g2
    return blend(g1, donors, evolve(rows_of_rank(plan, group), partner=np.arange(len(g1))))


class _PermuteRows(torch.autograd.Function):
    """``ProcessGroup.permute_rows``, with gradients that travel back to the members whose rows they are of.

    All members go through the same graph in the same order, so that they meet in its backward pass too.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup, order: NDArray[np.int64]) -> Tensor:
        ctx.group, ctx.order = group, order
        return group.permute_rows(rows, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.group.permute_rows(grads[0], np.argsort(ctx.order)), None, None
