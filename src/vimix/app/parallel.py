"""A batch, or a list of videos, spread over the processes of a group."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.domain.mixing.blend import blend
from vimix.domain.scores.feature_scaling import Rows
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import VideoClips
from vimix.values.mixing import MixPlan

Item = TypeVar("Item")

SYNC_SECONDS = 2.0
"""Seconds between two synchronisations of ranks that work through lists of their own."""


@frozen
class SingleProcess:
    """Implements ``vimix.ports.process_group.ProcessGroup``: one process, which holds the whole batch."""

    rank: int = 0
    size: int = 1

    def all_gather(self, rows: Tensor) -> Tensor:
        """Return the rows."""
        return rows.detach()

    all_gather_ragged = all_gather

    def permute_rows(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """Return the rows permuted by ``order``."""
        return rows.detach()[order]

    def any(self, flag: Tensor) -> Tensor:
        """Return the flag."""
        return flag

    def wait(self) -> None:
        """Return at once."""

    def max(self, step: int, wish: int) -> int:
        """Return the wish."""
        del step
        return wish


SINGLE_PROCESS = SingleProcess()


def videos_of_rank(videos: Sequence[int], group: ProcessGroup) -> list[int]:
    """The videos of this rank: a contiguous part of the list; the ranks together have each video once."""
    return [int(video) for video in np.array_split(videos, group.size)[group.rank]]


def synchronised(
    items: Iterable[Item], group: ProcessGroup, clock: Callable[[], float] = time.monotonic
) -> Iterator[Item]:
    """Yield the items of this rank while other ranks work through theirs, which may be more, fewer or none.

    Ranks synchronise every two seconds, and a rank that finishes early keeps synchronising until all have finished, so
    that it does not time out.
    """
    last = clock()
    for item in items:
        yield item
        if group.size > 1 and clock() - last > SYNC_SECONDS:
            group.any(torch.tensor(True))
            last = clock()
    while group.size > 1 and group.any(torch.tensor(False)):
        pass


def rows_by_video(
    parts: Iterable[tuple[VideoClips, Rows]], pool: Callable[[Rows], Rows], group: ProcessGroup
) -> tuple[list[Rows], list[int], list[int]]:
    """A row, a label and a number for each video of all ranks, in order of rank.

    ``parts`` are the parts of this rank's videos, perhaps none, with their rows [n, D]; ``pool`` makes one row of all
    rows of a video.
    """
    rows: list[Rows] = []
    labels: list[int] = []
    videos: list[int] = []
    for video, of_video in groupby(synchronised(parts, group), key=lambda part: part[0].video):
        found = []
        for part, part_rows in of_video:
            label = part.label
            found.append(part_rows)
        rows.append(pool(np.concatenate(found)))
        labels.append(label)
        videos.append(video)
    if group.size == 1:
        return rows, labels, videos
    own_rows = torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, 0)
    numbers = group.all_gather_ragged(torch.tensor([labels, videos], dtype=torch.int64).T)
    return list(group.all_gather_ragged(own_rows).numpy()), numbers[:, 0].tolist(), numbers[:, 1].tolist()


def rows_of_rank(plan: MixPlan, group: ProcessGroup) -> MixPlan:
    """The rows of this rank of a plan for the global batch; ``partner`` still numbers rows of the global batch."""
    rows = len(plan) // group.size
    return plan.rows(group.rank * rows, (group.rank + 1) * rows)


def blend_rows_of_rank(g1: Tensor, g2: Tensor, plan: MixPlan, group: ProcessGroup) -> Tensor:
    """The rows of this rank of ``blend`` over the global batch; partners may be rows of other ranks.

    ``g1`` and ``g2`` hold this rank's B rows, ``plan`` all G. Gradients flow to both, also to rows of other ranks.
    """
    if group.size == 1:
        return blend(g1, g2, plan)
    donors: Tensor = _PermuteRows.apply(g2, group, plan.partner) if (plan.weight < 1).any() else g2
    return blend(g1, donors, evolve(rows_of_rank(plan, group), partner=np.arange(len(g1))))


def gathered_with_gradient(rows: Tensor, group: ProcessGroup) -> Tensor:
    """The rows [B, D] of all ranks, [G, D]; gradients flow to them, also from the losses of other ranks."""
    if group.size == 1:
        return rows
    gathered: Tensor = _AllGather.apply(rows, group)
    return gathered


class _AllGather(torch.autograd.Function):
    """``ProcessGroup.all_gather`` with gradients, which are added up over the ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group, ctx.size = group, len(rows)
        return group.all_gather(rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        summed = ctx.group.all_gather(grads[0][None]).sum(dim=0)
        return summed[ctx.group.rank * ctx.size : (ctx.group.rank + 1) * ctx.size], None


class _PermuteRows(torch.autograd.Function):
    """``ProcessGroup.permute_rows`` with gradients, which are sent back to the ranks that the rows came from.

    All ranks build the same graph in the same order, so that their backward passes communicate in the same order too.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: ProcessGroup, order: NDArray[np.int64]) -> Tensor:
        ctx.group, ctx.order = group, order
        return group.permute_rows(rows, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.group.permute_rows(grads[0], np.argsort(ctx.order)), None, None
