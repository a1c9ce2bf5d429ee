"""Several modalities trained at once, each learning from positives that the others find (CrosSCLR; Li et al. 2021)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from attrs import define, evolve, field, frozen
from torch import Tensor

from vimix.app.learner import ContrastedBatch, Learner, StepOutcome
from vimix.app.parallel import rows_of_rank
from vimix.app.steps import Step
from vimix.domain.contrast.finders import Finder, Positives
from vimix.domain.contrast.losses import candidate_logits, cross_view_loss, mixed_cross_entropy, pretext_accuracy
from vimix.ports.network import Optimiser
from vimix.values.clip_batch import ClipBatch
from vimix.values.mixing import MixPlan
from vimix.values.modality import Modality


@frozen(eq=False)
class JointOutcome(StepOutcome):
    """Loss of all views, accuracy averaged over them, and what each compared."""

    views: Mapping[Modality, ContrastedBatch] = field(factory=dict)


@define(eq=False)
class JointLearner:
    """A learner for each view, and one optimiser for all.

    All queues start empty, so that they hold the same clips in the same rows. For ``plain_steps`` steps, and until the
    queues are full, each view learns by itself; from then on from the positives that ``finder`` finds in the others.
    Without a finder of positives (``OwnKey``) each view always learns by itself.
    """

    views: Mapping[Modality, Learner]
    optimiser: Optimiser
    finder: Finder
    plain_steps: int = 0
    steps: int = 0
    """Steps made so far."""

    @property
    def modality(self) -> Modality:
        """The names of the views joined by ``+``."""
        return Modality("+".join(self.views))

    def learn(self, z: Mapping[Modality, Tensor], keys: Mapping[Modality, Tensor], batch: ClipBatch) -> JointOutcome:
        """Compare each view's queries z [B, D] with its keys [G, D] and its queue, update all encoders, enqueue."""
        compared = {m: self._compared(view, z[m], keys[m], batch) for m, view in self.views.items()}
        loss = self._loss(list(compared.values()))
        skipped = self.optimiser.step(loss)
        self.steps += 1
        for m, view in self.views.items():
            view.queue.enqueue(keys[m], compared[m].instances.sources, compared[m].instances.labels)
        views = {m: _detached(c) for m, c in compared.items()}
        return JointOutcome(loss.detach(), _accuracy(views.values()), 1.0, skipped, views=views)

    def _compared(self, view: Learner, z: Tensor, keys: Tensor, batch: ClipBatch) -> ContrastedBatch:
        """The comparison of a view, with the positives that it finds for the others."""
        plan, first = rows_of_rank(MixPlan.unmixed(len(keys)), view.group), view.group.rank * len(z)
        instances = view.instances(batch, {})
        instances = evolve(instances, similarities=view.group.all_gather(z) @ view.queue.rows.T)
        excluded = view.excluded(instances, plan, Positives.of(instances.own, plan, first), first)
        cosines = candidate_logits(z, keys, view.queue.rows, temperature=1.0)
        found = self.finder.find(instances)[first : first + len(z)]
        return ContrastedBatch(z, keys, cosines, excluded, first, found, instances)

    def _loss(self, compared: Sequence[ContrastedBatch]) -> Tensor:
        """The sum over the views of their losses in nats, alone or with positives of the others."""
        view, size = next(iter(self.views.values())), len(compared[0].keys)
        if view.mines and self.steps >= self.plain_steps and self.steps * size >= view.queue.capacity:
            found, excluded = ([getattr(c, name) for c in compared] for name in ("positives", "excluded"))
            return cross_view_loss([c.cosines for c in compared], found, excluded, view.temperature, size)
        plan = rows_of_rank(MixPlan.unmixed(size), view.group)
        logits = [c.cosines.masked_fill(c.excluded, -torch.inf) / view.temperature for c in compared]
        return torch.stack([mixed_cross_entropy(rows, plan, compared[0].first) for rows in logits]).sum()

    @property
    def mutable_state(self) -> Iterator[Tensor]:
        """Tensors that a step changes before its loss is known to be finite, except those that the optimiser guards."""
        for view in self.views.values():
            yield from view.mutable_state

    def diagnostics(self, last: StepOutcome) -> dict[str, float]:
        """Measures of each view as ``VIEW/NAME``, and their means over the views."""
        assert isinstance(last, JointOutcome)
        measured = {m: self.views[m].diagnostics(evolve(last, compared=c)) for m, c in last.views.items()}
        names = next(iter(measured.values()))
        means = {name: sum(of_view[name] for of_view in measured.values()) / len(measured) for name in names}
        return means | {f"{m}/{name}": value for m, of_view in measured.items() for name, value in of_view.items()}

    def state_dict(self) -> dict[str, Mapping[str, Any]]:
        """The parts of a checkpoint: those of each view as ``PART.VIEW``, the optimiser, the number of steps."""
        parts: dict[str, Mapping[str, Any]] = {"optimiser": self.optimiser.state_dict(), "phase": {"steps": self.steps}}
        for m, view in self.views.items():
            parts |= {f"{part}.{m}": state for part, state in view.state_dict().items() if part != "optimiser"}
        return parts

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore all state from a checkpoint of the same stage, so that training continues as if never interrupted."""
        for m, view in self.views.items():
            view.load_weights({part: parts[f"{part}.{m}"] for part in ("query", "key", "queue")})
        self.optimiser.load_state_dict(parts["optimiser"])
        self.steps = int(parts["phase"]["steps"])


def joint_step(learner: JointLearner) -> Step:
    """All views at once, each with two clips of its own (CrosSCLR; section 9 of the method)."""

    def step(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        z, keys = {}, {}
        for modality, view in learner.views.items():
            x_q, x_k = batch.views[modality]
            z[modality] = view.query.embed(x_q)
            keys[modality] = view.keys(x_k, rng)
        return learner.learn(z, keys, batch)

    return step


def _detached(compared: ContrastedBatch) -> ContrastedBatch:
    """The comparison without gradients; what the view found is not excluded."""
    excluded = compared.excluded & ~compared.positives
    cosines = compared.cosines.detach().masked_fill(excluded, -torch.inf)
    return evolve(compared, z=compared.z.detach(), cosines=cosines, excluded=excluded)


def _accuracy(compared: Collection[ContrastedBatch]) -> Tensor:
    """Pretext accuracy, the mean over the views: the share of the queries whose own key scores highest."""
    own = [c.instances.own[c.first : c.first + len(c.z)] for c in compared]
    return torch.stack([pretext_accuracy(c.cosines, o) for c, o in zip(compared, own, strict=True)]).mean()
