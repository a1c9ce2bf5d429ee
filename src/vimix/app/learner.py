"""MoCo: a query encoder, the key encoder that follows it, and the queue (He et al. 2020; Eq. 1)."""

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
    """What a step compared: this member's queries ``z`` [B, D] with ``keys`` [G, D] and the queue, before the update.

    ``cosines`` and ``excluded`` are [B, G+K]; query i's own key is candidate ``first`` + i.
    """

    z: Tensor
    keys: Tensor
    cosines: Tensor
    excluded: Tensor
    first: int


@frozen(eq=False)
class StepOutcome:
    """What one step measured, as scalars on the training device (read them rarely: reading waits for the device)."""

    loss: Tensor
    """Soft cross-entropy in nats."""
    accuracy: Tensor
    """Pretext accuracy, 0 to 1."""
    weight: float
    """Mean share that was left of the query clips."""
    skipped: Tensor
    """Bool: loss or gradient were not finite, and nothing was updated."""
    compared: ContrastedBatch | None = None
    """What the diagnostics look at; nothing where there are no embeddings."""


@frozen(eq=False)
class Learner:
    """Everything of one modality that training changes."""

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
        """What a step changes before it is known to be a good one; the optimiser guards the parameters it updates."""
        yield from self.query.buffers()
        yield from self.key.parameters()
        yield from self.key.buffers()
        yield from self.queue.state

    def diagnostics(self, last: StepOutcome) -> dict[str, float]:
        """What a row of metrics says beside the means over its steps, seen at its last step."""
        seen, filled = last.compared, len(self.queue)
        assert seen is not None
        own = seen.keys[seen.first : seen.first + len(seen.z)]
        return {
            "queue_filled": float(filled),
            "queue_age": filled / len(seen.keys),
            "alignment": float(alignment(seen.z, own)),
            "uniformity": float(uniformity(seen.keys)),
            "effective_rank": float(effective_rank(seen.keys)),
            "margin": float(margin(seen.cosines, seen.excluded, seen.first)),
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
        """Go on from another stage: its encoders and queue; the optimiser starts afresh."""
        self.query.load_state_dict(parts["query"])
        self.key.load_state_dict(parts["key"])
        self.queue.load_state_dict(parts["queue"])

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on within a stage: as if it had never stopped."""
        self.load_weights(parts)
        self.optimiser.load_state_dict(parts["optimiser"])
