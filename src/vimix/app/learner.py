"""MoCo: a query encoder, a key encoder that is its moving average, and a queue (He et al. 2020; Eq. 1)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from vimix.app.parallel import SINGLE_PROCESS, rows_of_rank
from vimix.domain.contrast.candidates import Candidates
from vimix.domain.contrast.diagnostics import (
    alignment,
    effective_rank,
    found_positives,
    margin,
    statistics_gap,
    uniformity,
)
from vimix.domain.contrast.finders import Finder, Instances, OwnKey, Positives
from vimix.domain.contrast.losses import (
    masked_logits,
    mixed_cross_entropy,
    multi_positive_cross_entropy,
    pretext_accuracy,
)
from vimix.domain.contrast.momentum import ema_update
from vimix.domain.contrast.queue import NegativeQueue
from vimix.ports.network import Network, Optimiser
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import ClipBatch
from vimix.values.mixing import MixPlan
from vimix.values.modality import Modality


@frozen(eq=False)
class ContrastedBatch:
    """Queries, keys and similarities of a step, as they were before its update. For the diagnostics."""

    z: Tensor
    """Queries [B, D] of this rank."""
    keys: Tensor
    """Keys [G, D] of all ranks."""
    cosines: Tensor
    """Cosines [B, G+K] of the queries with the keys, then with the queue."""
    excluded: Tensor
    """Bool [B, G+K]: candidates that were left out of the comparison."""
    first: int
    """The own key of query i is candidate first + i."""
    positives: Tensor
    """Bool [B, G+K]: positives of the instance of each query."""
    instances: Instances
    """The instances that the positives were found for."""


@frozen(eq=False)
class StepOutcome:
    """Measurements of one step, as scalars on the training device. Reading them waits for the device."""

    loss: Tensor
    """Soft cross-entropy in nats."""
    accuracy: Tensor
    """Pretext accuracy, 0 to 1."""
    weight: float
    """Mean share of the query clips that mixing left."""
    skipped: Tensor
    """Bool: loss or gradient was not finite, so nothing was updated."""
    compared: ContrastedBatch | None = None
    """Input of the diagnostics; None in a training without embeddings."""


@frozen(eq=False)
class Learner:
    """The networks, queue and optimiser of one modality: all state that contrastive training changes."""

    modality: Modality
    query: Network
    key: Network
    queue: NegativeQueue
    optimiser: Optimiser
    candidates: Candidates
    momentum: float
    temperature: float
    group: ProcessGroup = SINGLE_PROCESS
    finder: Finder = field(factory=OwnKey)
    """Finds the positives."""

    @property
    def mines(self) -> bool:
        """Whether queries may have other positives than their own keys."""
        return not isinstance(self.finder, OwnKey)

    def learn(
        self,
        z: Tensor,
        keys: Tensor,
        plan: MixPlan,
        batch: ClipBatch,
        partners: Mapping[Modality, Tensor] | None = None,
    ) -> StepOutcome:
        """Compare mixed queries z [B, D] with the batch's keys [G, D] and the queue, update f, enqueue the keys.

        ``plan`` covers the global batch of G rows; ``z``, ``batch`` and ``partners`` are this rank's rows of it.
        ``partners`` has embeddings [B, D] of the clips by the modalities whose keys the queue keeps too.
        """
        gathered: dict[str, Tensor] = {m: self.group.all_gather(rows) for m, rows in (partners or {}).items()}
        loss, compared = self.compare(z, keys, plan, self.instances(batch, gathered))
        return self.update(loss, compared, plan, gathered)

    def compare(self, z: Tensor, keys: Tensor, plan: MixPlan, instances: Instances) -> tuple[Tensor, ContrastedBatch]:
        """The loss of queries z [B, D], in nats, and what it was computed from, without gradient."""
        own_plan, first = rows_of_rank(plan, self.group), self.group.rank * len(z)
        positives = Positives.of(self.finder.find(instances), own_plan, first)
        excluded = self.excluded(instances, own_plan, positives, first)
        logits = masked_logits(z, keys, self.queue.rows, self.temperature, excluded)
        cosines = logits.detach() * self.temperature
        compared = ContrastedBatch(z.detach(), keys, cosines, excluded, first, positives.own, instances)
        if self.mines:
            return multi_positive_cross_entropy(logits, own_plan, positives), compared
        return mixed_cross_entropy(logits, own_plan, first), compared  # the same loss to the last bit, in less time

    def update(
        self, loss: Tensor, compared: ContrastedBatch, plan: MixPlan, partners: Mapping[str, Tensor] | None = None
    ) -> StepOutcome:
        """Minimise the loss by one step and enqueue the keys, with the embeddings [G, D] of ``partners``."""
        skipped = self.optimiser.step(loss)
        self.queue.enqueue(compared.keys, compared.instances.sources, compared.instances.labels, partners)
        accuracy = pretext_accuracy(compared.cosines, compared.positives)
        return StepOutcome(loss.detach(), accuracy, float(plan.weight.mean()), skipped, compared)

    def instances(self, batch: ClipBatch, partners: Mapping[str, Tensor]) -> Instances:
        """The instances of all ranks and the queue, with the similarities of ``partners``: embeddings [G, D]."""
        numbers = self.group.all_gather(torch.stack([batch.sources, batch.labels], dim=1))
        similarities = [embedded @ self.queue.partner_keys[modality].T for modality, embedded in partners.items()]
        queue = self.queue
        return Instances(
            sources=numbers[:, 0],
            queue_sources=queue.row_sources.clone(),  # the queue goes on, the diagnostics look back
            labels=numbers[:, 1],
            queue_labels=queue.row_labels.clone(),
            queue_ages=queue.row_ages,
            full=queue.full,
            similarities=similarities[0] if similarities else None,
        )

    def excluded(self, instances: Instances, own_plan: MixPlan, positives: Positives, first: int) -> Tensor:
        """Bool [B, G+K]: candidates that the policy leaves out, except positives in the queue; and its empty rows."""
        partner = torch.from_numpy(own_plan.partner).to(instances.sources.device, non_blocking=True)
        excluded = self.candidates.excluded(instances.sources, instances.queue_sources, partner, first)
        queued = excluded[:, len(instances.sources) :]
        queued &= ~positives.either[:, len(instances.sources) :]
        queued |= self.queue.empty
        return excluded

    def keys(self, clips: Tensor, rng: np.random.Generator) -> Tensor:
        """Keys [G, D] of the unmixed clips of all ranks, after the momentum update of the key encoder."""
        self.update_key_encoder()
        return self.embed_keys(clips, rng)

    def update_key_encoder(self) -> None:
        """The momentum update of the key encoder."""
        ema_update(self.key.parameters(), self.query.parameters(), self.momentum)

    def embed_keys(self, clips: Tensor, rng: np.random.Generator) -> Tensor:
        """Keys [G, D] of the clips of all ranks, by the key encoder as it is."""
        return self.key.keys(clips, torch.from_numpy(rng.permutation(self.group.size * len(clips))))

    @property
    def mutable_state(self) -> Iterator[Tensor]:
        """Tensors that a step changes before its loss is known to be finite, except those that the optimiser guards."""
        yield from self.query.buffers()
        yield from self.key.parameters()
        yield from self.key.buffers()
        yield from self.queue.state

    def diagnostics(self, last: StepOutcome) -> dict[str, float]:
        """Fill of the queue, collapse measures of the last step's embeddings and the gap of the encoders, by name."""
        compared, filled = last.compared, len(self.queue)
        assert compared is not None
        own = compared.keys[compared.first : compared.first + len(compared.z)]
        gap = statistics_gap(self.query.state_dict(), self.key.state_dict())
        return {
            "queue_filled": float(filled),
            "queue_age": filled / len(compared.keys),
            "alignment": float(alignment(compared.z, own)),
            "uniformity": float(uniformity(compared.keys)),
            "effective_rank": float(effective_rank(compared.keys)),
            "margin": float(margin(compared.cosines, compared.excluded | compared.positives, compared.first)),
            **{name: float(value) for name, value in gap.items()},
            **(self._found(compared) if self.mines else {}),
        }

    def _found(self, compared: ContrastedBatch) -> dict[str, float]:
        """Measures of the positives that were found besides the own keys."""
        found = compared.positives & ~compared.excluded
        found &= ~compared.instances.own[compared.first : compared.first + len(found)]
        measured = found_positives(found, compared.cosines, compared.instances, compared.first)
        return {name: float(value) for name, value in measured.items()}

    def state_dict(self) -> dict[str, Mapping[str, Any]]:
        """The parts of a checkpoint."""
        return {
            "query": self.query.state_dict(),
            "key": self.key.state_dict(),
            "queue": self.queue.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_weights(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Start from the encoders and the queue of another stage; the optimiser starts afresh."""
        self.query.load_state_dict(parts["query"])
        self.key.load_state_dict(parts["key"])
        self.queue.load_state_dict(parts["queue"])

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore all state from a checkpoint of the same stage, so that training continues as if never interrupted."""
        self.load_weights(parts)
        self.optimiser.load_state_dict(parts["optimiser"])
