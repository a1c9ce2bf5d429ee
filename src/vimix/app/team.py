"""What a step does with a batch that may be spread over several processes."""

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.domain.mixing.blend import blend
from vimix.ports.team import Team
from vimix.values.mixing import MixPlan


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


def own_rows(plan: MixPlan, team: Team) -> MixPlan:
    """The member's rows of a plan for the global batch; their partners still number the rows of that."""
    rows = len(plan) // team.size
    return plan.rows(team.rank * rows, (team.rank + 1) * rows)


def blend_own(g1: Tensor, g2: Tensor, plan: MixPlan, team: Team) -> Tensor:
    """The member's rows of ``blend`` over the global batch: partners may be rows of other members.

    ``g1`` and ``g2`` hold this member's B rows, ``plan`` all G. Gradients flow to ``g1``; in a team not to ``g2``.
    """
    if team.size == 1:
        return blend(g1, g2, plan)
    donors = team.exchange(g2, plan.partner) if (plan.weight < 1).any() else g2
    return blend(g1, donors, evolve(own_rows(plan, team), partner=np.arange(len(g1))))
