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
from vimix.ports.team import Team
from vimix.values.mixing import MixPlan

Item = TypeVar("Item")

MEETING_SECONDS = 2.0
"""Between two signs of life of members that work through lists of their own."""


@frozen
class Alone:
    """Implements ``vimix.ports.team.Team``: one process, which holds the whole batch."""

    rank: int = 0
    size: int = 1

    def gather(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows.detach()

    def collect(self, rows: Tensor) -> Tensor:
        """The rows themselves."""
        return rows.detach()

    def exchange(self, rows: Tensor, order: NDArray[np.int64]) -> Tensor:
        """The rows permuted."""
        return rows.detach()[order]

    def either(self, flag: Tensor) -> Tensor:
        """The flag itself."""
        return flag

    def agree(self, step: int, wish: int) -> int:
        """The wish itself."""
        del step
        return wish


def own_share(videos: Sequence[int], team: Team) -> list[int]:
    """The videos that this member takes on: all members together have each once, in order of rank."""
    return [int(video) for video in np.array_split(videos, team.size)[team.rank]]


def in_company(items: Iterable[Item], team: Team, clock: Callable[[], float] = time.monotonic) -> Iterator[Item]:
    """The items of this member, while the others work through theirs, be they more, fewer or none.

    Members that are at work meet every few seconds, and those that are done go on meeting them until all are: nobody is
    given up for lost for having more to do.
    """
    met = clock()
    for item in items:
        yield item
        if team.size > 1 and clock() - met > MEETING_SECONDS:
            team.either(torch.tensor(True))
            met = clock()
    while team.size > 1 and team.either(torch.tensor(False)):
        pass


def collected(
    rows: list[NDArray[np.float32]], labels: list[int], videos: list[int], team: Team
) -> tuple[list[NDArray[np.float32]], list[int], list[int]]:
    """What all members found of their videos, in order of rank: a row, a label and the number of each."""
    if team.size == 1:
        return rows, labels, videos
    found = torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, 0)
    numbers = team.collect(torch.tensor([labels, videos], dtype=torch.int64).T)
    return list(team.collect(found).numpy()), numbers[:, 0].tolist(), numbers[:, 1].tolist()


def own_rows(plan: MixPlan, team: Team) -> MixPlan:
    """The member's rows of a plan for the global batch; their partners still number the rows of that."""
    rows = len(plan) // team.size
    return plan.rows(team.rank * rows, (team.rank + 1) * rows)


def blend_own(g1: Tensor, g2: Tensor, plan: MixPlan, team: Team) -> Tensor:
    """The member's rows of ``blend`` over the global batch: partners may be rows of other members.

    ``g1`` and ``g2`` hold this member's B rows, ``plan`` all G. Gradients flow to both, also to the rows of others.
    """
    if team.size == 1:
        return blend(g1, g2, plan)
    donors: Tensor = _Exchange.apply(g2, team, plan.partner) if (plan.weight < 1).any() else g2
    return blend(g1, donors, evolve(own_rows(plan, team), partner=np.arange(len(g1))))


class _Exchange(torch.autograd.Function):
    """``Team.exchange``, with gradients that travel back to the members whose rows they are of.

    All members go through the same graph in the same order, so that they meet in its backward pass too.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, team: Team, order: NDArray[np.int64]) -> Tensor:
        ctx.team, ctx.order = team, order
        return team.exchange(rows, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.team.exchange(grads[0], np.argsort(ctx.order)), None, None
