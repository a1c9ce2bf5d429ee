"""The keys that a query is compared with: keys of its batch, then keys of the queue."""

from typing import Protocol

import torch
from attrs import field, frozen
from torch import Tensor


class Candidates(Protocol):
    """Decides which of the G + K candidates are left out of the comparison with a query."""

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Bool [B, G+K], True where the candidate is neither positive nor negative for the query.

        ``sources`` [G] and ``queue_sources`` [K] number recordings. The queries are rows first ... first+B-1 of the
        batch, ``partner`` [B] the rows mixed in. The two targets of a query, its own key and its partner's, are never
        excluded.
        """
        ...


class BatchAndQueue:
    """Compares with all keys of the batch and of the queue (Eq. 2)."""

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """All False: nothing is left out."""
        del first
        shape = (len(partner), len(sources) + len(queue_sources))
        return torch.zeros(shape, dtype=torch.bool, device=sources.device)


class WithoutSiblings:
    """``BatchAndQueue`` without siblings: clips that were cut from the recording of the query or of its partner.

    On small data sets this decides whether anything is learned: a queue that is longer than the data set holds the
    query's own video many times.
    """

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Bool [B, G+K]: candidates from the recording of one of the two targets, except the targets themselves."""
        candidates = torch.cat([sources, queue_sources])
        rows = torch.arange(len(partner), device=sources.device)
        siblings = candidates == sources[first + rows][:, None]
        siblings |= candidates == sources[partner][:, None]
        siblings[rows, first + rows] = False
        siblings[rows, partner] = False
        return siblings


@frozen
class OwnKeyAndQueue:
    """Compares with the query's own key and the queue, as MoCo, CoCLR and SkeletonCLR do. Legal without mixing only."""

    among: Candidates = field(factory=BatchAndQueue)
    """Leaves out further candidates, such as siblings in the queue."""

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Bool [B, G+K]: the other keys of the batch, and what ``among`` excludes."""
        rows = torch.arange(len(partner), device=sources.device)
        excluded = torch.ones(len(partner), len(sources) + len(queue_sources), dtype=torch.bool, device=sources.device)
        excluded[:, len(sources) :] = False
        excluded[rows, first + rows] = False
        return excluded | self.among.excluded(sources, queue_sources, partner, first)
