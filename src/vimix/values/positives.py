"""Positives: the candidates that a query is drawn towards."""

import torch
from attrs import frozen
from torch import Tensor

from vimix.values.mixing import MixPlan


@frozen(eq=False)
class Positives:
    """The positives of B queries among the G + K candidates: keys of the batch, then keys of the queue."""

    own: Tensor
    """Bool [B, G+K]: positives of the instance of each query."""
    partner: Tensor
    """Bool [B, G+K]: positives of the instance that is mixed into each query."""

    @classmethod
    def of(cls, found: Tensor, plan: MixPlan, first: int = 0) -> "Positives":
        """The positives of queries first ... first+B-1 of a batch, mixed by ``plan`` (their B rows of the plan).

        ``found`` bool [G, G+K] has the positives of each instance of the batch.
        """
        partner = torch.from_numpy(plan.partner).to(found.device, non_blocking=True)
        return cls(found[first : first + len(plan)], found[partner])

    @property
    def either(self) -> Tensor:
        """Bool [B, G+K]: positives of one of the two instances in a query."""
        return self.own | self.partner
