"""MoCo: a query encoder, a key encoder that is its moving average, and a queue (He et al. 2020; Eq. 1)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from vimix.app.parallel import SingleProcess, rows_of_rank
from vimix.domain.contrast.candidates import Candidates
from vimix.domain.contrast.diagnostics import alignment, effective_rank, margin, uniformity
from vimix.domain.contrast.losses import loss_and_logits, pretext_accuracy
from vimix.domain.contrast.momentum import ema_update
from vimix.domain.contrast.queue import NegativeQueue
from vimix.ports.network import Network, Optimiser
from vimix.ports.process_group import ProcessGroup
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
    group: ProcessGroup = field(factory=SingleProcess)

    def learn(self, z: Tensor, keys: Tensor, plan: MixPlan, sources: Tensor) -> StepOutcome:
        """Compare mixed queries z [B, D] with the batch's keys [G, D] and the queue, update f, enqueue the keys.

        ``plan`` covers the global batch of G rows; ``z`` and ``sources`` [B] are this rank's rows of it.
        """
        own_plan, first = rows_of_rank(plan, self.group), self.group.rank * len(z)
        sources = self.group.all_gather(sources)
        excluded = self._excluded(sources, own_plan, first)
        loss, logits = loss_and_logits(z, keys, self.queue.rows, own_plan, self.temperature, excluded, first)
        skipped = self.optimiser.step(loss)
        self.queue.enqueue(keys, sources)
        logits = logits.detach()
        compared = ContrastedBatch(z.detach(), keys, logits * self.temperature, excluded, first)
        accuracy = pretext_accuracy(logits, first)
        return StepOutcome(loss.detach(), accuracy, float(plan.weight.mean()), skipped, compared)

    def _excluded(self, sources: Tensor, own_plan: MixPlan, first: int) -> Tensor:
        """Bool [B, G+K]: candidates that the policy leaves out, and rows of the queue that are still empty."""
        partner = torch.from_numpy(own_plan.partner).to(sources.device, non_blocking=True)
        excluded = self.candidates.excluded(sources, self.queue.row_sources, partner, first)
        excluded[:, len(sources) :] |= self.queue.empty
        return excluded

    def keys(self, clips: Tensor, rng: np.random.Generator) -> Tensor:
        """Keys [G, D] of the unmixed clips of all ranks, after the momentum update of the key encoder."""
        ema_update(self.key.parameters(), self.query.parameters(), self.momentum)
        return self.key.keys(clips, torch.from_numpy(rng.permutation(self.group.size * len(clips))))

    @property
    def mutable_state(self) -> Iterator[Tensor]:
        """Tensors that a step changes before its loss is known to be finite, except those that the optimiser guards."""
        yield from self.query.buffers()
        yield from self.key.parameters()
        yield from self.key.buffers()
        yield from self.queue.state

    def diagnostics(self, last: StepOutcome) -> dict[str, float]:
        """Fill of the queue, and collapse measures of the last step's embeddings, by name."""
        compared, filled = last.compared, len(self.queue)
        assert compared is not None
        own = compared.keys[compared.first : compared.first + len(compared.z)]
        return {
            "queue_filled": float(filled),
            "queue_age": filled / len(compared.keys),
            "alignment": float(alignment(compared.z, own)),
            "uniformity": float(uniformity(compared.keys)),
            "effective_rank": float(effective_rank(compared.keys)),
            "margin": float(margin(compared.cosines, compared.excluded, compared.first)),
        }

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
