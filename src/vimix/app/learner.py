"""MoCo: a query encoder, the key encoder that follows it, and the queue (He et al. 2020; Eq. 1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from vimix.domain.contrast.candidates import Candidates
from vimix.domain.contrast.losses import candidate_logits, mixed_cross_entropy, pretext_accuracy
from vimix.domain.contrast.momentum import follow
from vimix.domain.contrast.queue import NegativeQueue
from vimix.ports.network import Network, Optimiser
from vimix.values.mixing import MixPlan
from vimix.values.modality import Modality


@frozen(eq=False)
class StepOutcome:
    """What one step measured, as scalars on the training device (read them rarely: reading waits for the device)."""

    loss: Tensor
    """Soft cross-entropy in nats."""
    accuracy: Tensor
    """Pretext accuracy, 0 to 1."""
    weight: float
    """Mean share that was left of the query clips."""


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

    def learn(self, z: Tensor, keys: Tensor, plan: MixPlan, sources: Tensor) -> StepOutcome:
        """Compare mixed queries z [B, D] with the keys [B, D] and the queue, update f, enqueue the keys."""
        partner = torch.from_numpy(plan.partner).to(z.device, non_blocking=True)
        excluded = self.candidates.excluded(sources, self.queue.sources, partner)
        logits = candidate_logits(z, keys, self.queue.keys, self.temperature).masked_fill(excluded, -torch.inf)
        loss = mixed_cross_entropy(logits, plan)
        self.optimiser.step(loss)
        self.queue.enqueue(keys, sources)
        return StepOutcome(loss.detach(), pretext_accuracy(logits.detach()), float(plan.weight.mean()))

    def keys(self, clips: Tensor, rng: np.random.Generator) -> Tensor:
        """Keys [B, D] of unmixed clips, after the key encoder has moved towards the query encoder."""
        follow(self.key.parameters(), self.query.parameters(), self.momentum)
        shuffle = torch.from_numpy(rng.permutation(len(clips))).to(clips.device, non_blocking=True)
        return self.key.keys(clips, shuffle)

    @property
    def gauges(self) -> dict[str, float]:
        """What a row of metrics says beside the outcome of its steps."""
        return {"queue_filled": float(len(self.queue))}

    def state_dict(self) -> dict[str, Mapping[str, Any]]:
        """The parts of a checkpoint."""
        return {
            "query": self.query.state_dict(),
            "key": self.key.state_dict(),
            "queue": self.queue.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def take_over(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from another stage: its encoders and queue; the optimiser starts afresh."""
        self.query.load_state_dict(parts["query"])
        self.key.load_state_dict(parts["key"])
        self.queue.load_state_dict(parts["queue"])

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on within a stage: as if it had never stopped."""
        self.take_over(parts)
        self.optimiser.load_state_dict(parts["optimiser"])
