"""Positives, and finders of candidates besides a query's own key that show the same thing (section 9 of the method)."""

from typing import Protocol

import torch
from attrs import field, frozen
from attrs.validators import ge
from torch import Tensor

from vimix.values.mixing import MixPlan


@frozen(eq=False)
class Instances:
    """The G instances of a batch and the K rows of the queue, as finders see them. Unknown numbers are -1."""

    sources: Tensor
    """[G] int64, numbers of the recordings."""
    queue_sources: Tensor
    """[K] int64."""
    labels: Tensor
    """[G] int64, classes."""
    queue_labels: Tensor
    """[K] int64."""
    queue_ages: Tensor
    """[K] int64, number of keys that were enqueued after each row."""
    full: Tensor
    """Bool scalar: whether all rows of the queue are filled, for all modalities that it keeps."""
    similarities: Tensor | None = None
    """Cosines [G, K] of another modality: of its embeddings of the instances with its keys in the queue."""

    @property
    def own(self) -> Tensor:
        """Bool [G, G+K]: the own key of each instance."""
        size, queued = len(self.sources), len(self.queue_sources)
        return torch.eye(size, size + queued, dtype=torch.bool, device=self.sources.device)

    @property
    def same_recording(self) -> Tensor:
        """Bool [G, G+K]: candidates from the recording of each instance."""
        return _equal(self.sources, self.queue_sources)

    @property
    def same_label(self) -> Tensor:
        """Bool [G, G+K]: candidates of the class of each instance."""
        return _equal(self.labels, self.queue_labels)

    def mined(self, k: int, among: Tensor | None = None) -> Tensor:
        """Bool [G, G+K]: the k rows of a full queue that are most similar; ``among`` bool [G, K] restricts the rows."""
        assert self.similarities is not None, "this finder needs the similarities of another modality"
        allowed = self.similarities if among is None else self.similarities.masked_fill(~among, -torch.inf)
        nearest = torch.zeros_like(allowed, dtype=torch.bool).scatter_(1, allowed.topk(k, dim=1).indices, True)
        nearest &= self.full if among is None else among & self.full
        return torch.cat([torch.zeros_like(self.own[:, : len(self.sources)]), nearest], dim=1)


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


class Finder(Protocol):
    """Decides which candidates are positives of an instance."""

    @property
    def needs_similarities(self) -> bool:
        """Whether it needs the similarities of another modality."""
        ...

    def find(self, instances: Instances) -> Tensor:
        """Bool [G, G+K]: the positives of each instance of the batch, its own key among them."""
        ...


@frozen
class OwnKey:
    """The own key is the only positive (MoCo)."""

    needs_similarities = False

    def find(self, instances: Instances) -> Tensor:
        """The own keys."""
        return instances.own


@frozen
class NearestInPartner:
    """CoCLR: the k entries of the queue that the frozen partner finds most similar (Han et al. 2020).

    They are taken from other recordings than the instance's. Nothing is mined before the queue is full.
    """

    k: int = field(default=5, validator=ge(1))
    same_recording: bool = True
    """Whether candidates from the recording of the instance are positives too, from the first step on."""

    needs_similarities = True

    def find(self, instances: Instances) -> Tensor:
        """Own keys, the k nearest of other recordings, and candidates of the same recording."""
        siblings = instances.same_recording
        mined = instances.own | instances.mined(self.k, among=~siblings[:, len(siblings) :])
        return mined | siblings if self.same_recording else mined


@frozen
class NearestAcrossViews:
    """CrosSCLR: the k entries of the queue that another view, trained at the same time, finds most similar.

    Nothing is mined before the queue is full (Li et al. 2021).
    """

    k: int = field(default=1, validator=ge(1))

    needs_similarities = True

    def find(self, instances: Instances) -> Tensor:
        """Own keys and the k nearest."""
        return instances.own | instances.mined(self.k)


@frozen
class Labels:
    """All candidates of the instance's class: training with labels, an upper bound (UberNCE, Han et al. 2020)."""

    needs_similarities = False

    def find(self, instances: Instances) -> Tensor:
        """Own keys and candidates of the same class; an instance without a label has its own key only."""
        return instances.own | instances.same_label


def _equal(numbers: Tensor, queued: Tensor) -> Tensor:
    """Bool [G, G+K]: whether the number of a candidate is that of an instance; -1 is no number."""
    return (torch.cat([numbers, queued]) == numbers[:, None]) & (numbers >= 0)[:, None]
