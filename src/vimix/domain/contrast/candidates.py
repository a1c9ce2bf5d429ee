"""Which keys a query is compared with: the keys of its batch, then the queue."""

from typing import Protocol

import torch
from attrs import field, frozen
from torch import Tensor


class Candidates(Protocol):
    """Says which of the G + K candidates are left out of a query's comparison."""

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Bool [B, G+K], True where the candidate is neither positive nor negative for the query.

        ``sources`` [G] and ``queue_sources`` [K] number recordings. The queries are rows first ... first+B-1 of the
        batch, ``partner`` [B] the rows mixed in. The two targets of a query, its own key and its partner's, are never
        excluded.
        """
        ...


class BatchAndQueue:
    """All keys of the batch and of the queue (Eq. 2)."""

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Nothing."""
        del first
        shape = (len(partner), len(sources) + len(queue_sources))
        return torch.zeros(shape, dtype=torch.bool, device=sources.device)


class WithoutSiblings:
    """As ``BatchAndQueue``, without clips cut from the recording of the query or of its partner.

    On small sets this decides whether anything is learned: a queue longer than the data set holds the query's own
    video many times.
    """

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """Candidates of the same recording as one of the two targets, these apart."""
        candidates = torch.cat([sources, queue_sources])
        rows = torch.arange(len(partner), device=sources.device)
        siblings = candidates == sources[first + rows][:, None]
        siblings |= candidates == sources[partner][:, None]
        siblings[rows, first + rows] = False
        siblings[rows, partner] = False
        return siblings


@frozen
class OwnKeyAndQueue:
    """The query's own key and the queue: MoCo, CoCLR and SkeletonCLR as published. Legal without mixing only.

    ``among`` leaves out of the queue what it leaves out of all candidates, such as siblings.
    """

    among: Candidates = field(factory=BatchAndQueue)

    def excluded(self, sources: Tensor, queue_sources: Tensor, partner: Tensor, first: int = 0) -> Tensor:
        """The other keys of the batch, and what ``among`` says. Raises ValueError if a row is mixed with another.

        (Asked on the CPU only: an accelerator would be waited for.)
        """
        rows = first + torch.arange(len(partner), device=sources.device)
        if partner.is_cpu and not torch.equal(rows, partner):
            raise ValueError("with mixing the keys of the batch are targets: own key and queue alone cannot do")
        excluded = torch.ones(len(partner), len(sources) + len(queue_sources), dtype=torch.bool, device=sources.device)
        excluded[:, len(sources) :] = False
        excluded[rows - first, rows] = False
        return excluded | self.among.excluded(sources, queue_sources, partner, first)
