"""Scenarios that the ranks of a group run in the tests, as does one process for comparison."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve
from torch import Tensor

from tests.distributed.endings import exercises
from tests.fakes.clips import FakeEvaluationClips, FakeTrainingClips
from tests.fakes.network import FakeNetwork
from vimix.app.feature_extraction import extract_features
from vimix.app.finetune import SupervisedLearner, classify, supervised_step
from vimix.app.learner import Learner
from vimix.app.parallel import SingleProcess, videos_of_rank
from vimix.app.steps import (
    Step,
    cmmc_step,
    manifold_step,
    mining_step,
    pretrain_step,
    simclr_step,
    symmetric_step,
)
from vimix.domain.contrast.finders import NearestAcrossViews, NearestInPartner
from vimix.domain.mixing.layers import RandomLayer, SameLayer
from vimix.domain.mixing.policies import CrossModalCutMix, ManifoldMixup, Mixup, NoMix
from vimix.domain.schedule.stages import Stage
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.encoders.classifying_network import FrozenClassifier
from vimix_adapters.encoders.contrastive_network import Compute, TorchOptimiser
from vimix_adapters.wiring.networks import distributed_classifier

CPU = Compute(torch.device("cpu"))
GLOBAL = 8
"""Clips of the global batch: 2 × 4, or 8 in one process."""


def together(group: ProcessGroup, folder: Path) -> dict[str, Any]:
    """Results of all scenarios that one launch can run."""
    return {
        "exercises": exercises(group, folder),
        "steps": steps(group, folder),
        "mining": mining(group, folder),
        "pairs": pairs(group, folder),
        "joint": joint(group, folder),
        "bad_step": bad_step(group, folder),
        "evaluation": evaluation(group, folder),
        "finetuning": finetuning(group, folder),
        "linear": linear(group, folder),
    }


def steps(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Two steps each of pretraining, of a CMMC stage and of manifold mixup of a real network, in float64.

    An untrained network amplifies rounding: in float32 the last digit of one step's weights is the second digit of the
    next step's gradients, on some processors at least.
    """
    with _float64():
        learner = wiring.build_learner(recipe(group), RGB, CPU, group)
        partner = wiring.build_network(recipe(SingleProcess()), FLOW, CPU).eval().requires_grad_(False)
        kinds: list[Step] = [
            pretrain_step(learner, Mixup()),
            cmmc_step(learner, partner, FLOW, CrossModalCutMix(), RandomLayer()),
            manifold_step(learner, ManifoldMixup(), SameLayer()),
        ]
        seen = [_seen(learner, kinds[number % 3], number, group) for number in range(6)]
    return {"steps": seen, "query": dict(learner.query.state_dict()), "key": dict(learner.key.state_dict())}


def mining(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Four steps, of pretraining and of a CMMC stage in turns, whose positives the partner finds from the third on."""
    with _float64():
        learner = wiring.build_learner(recipe(group), RGB, CPU, group, NearestInPartner(k=2), [FLOW])
        partner = wiring.build_network(recipe(SingleProcess()), FLOW, CPU).eval().requires_grad_(False)
        kinds: list[Step] = [
            mining_step(learner, partner, FLOW, Mixup()),
            cmmc_step(learner, partner, FLOW, CrossModalCutMix(), RandomLayer()),
        ]
        seen = []
        for number in range(4):
            seen.append(_seen(learner, kinds[number % 2], number, group))
            seen[-1] |= {
                "partner keys": learner.queue.partner_keys[FLOW].clone(),
                "labels": learner.queue.row_labels.clone(),
            }
    return {"steps": seen}


def pairs(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Two steps each of SimCLR and of the symmetric loss, without queue."""
    with _float64():
        own = recipe(group)
        without = evolve(own, contrast=evolve(own.contrast, queue=0))
        seen = []
        for make in (simclr_step, symmetric_step):
            learner = wiring.build_learner(without, RGB, CPU, group)
            seen += [_seen(learner, make(learner), number, group) for number in range(2)]
    return {"steps": seen}


def joint(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Four steps of two views at once, which learn from each other from the third on."""
    with _float64():
        parts = {"epochs": 1, "rate": 1e-9, "policy": NoMix(), "finder": NearestAcrossViews(k=1)}
        stage = Stage(name="joint", modality=RGB, together=(FLOW,), **parts)
        learner = wiring.build_stage_learner(recipe(group), stage, CPU, group, steps_per_epoch=4)
        step, seen = wiring.step_of(stage, learner, None), []
        for number in range(4):
            outcome = step(batch(group, number, {RGB: 2, FLOW: 2}), np.random.default_rng((5, number)))
            seen.append({"loss": group.all_gather(outcome.loss[None]).mean()})
            for modality, view in learner.views.items():
                gradients = torch.cat([parameter.grad.flatten() for parameter in view.query.parameters()])
                seen[-1] |= {f"gradient of {modality}": gradients, f"queue of {modality}": view.queue.rows.clone()}
    return {"steps": seen}


@contextmanager
def _float64() -> Iterator[None]:
    """Build networks, and the clips of ``batch``, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def bad_step(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """A clip of the last rank holds a NaN."""
    learner = wiring.build_learner(recipe(group), RGB, CPU, group)
    before = {name: value.clone() for name, value in learner.query.state_dict().items()}
    own = batch(group, 0)
    if group.rank == group.size - 1:
        own.views[RGB][0][0, 0, 0, 0, 0] = torch.nan
    outcome = pretrain_step(learner, Mixup())(own, np.random.default_rng(0))
    parameters = {name for name, _ in wiring.build_network(recipe(group), RGB, CPU).named_parameters()}
    kept = all(torch.equal(before[name], learner.query.state_dict()[name]) for name in parameters)
    return {"skipped": bool(outcome.skipped), "kept": kept}


def evaluation(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Seven videos, then a single one: one rank has none."""
    found = {}
    for name, members in {"seven": tuple(range(7)), "one": (3,)}.items():
        own = np.array_split(members, group.size)[group.rank].tolist()
        features = extract_features(FakeNetwork(), FakeEvaluationClips(members=own), np.arange(9), group=group)
        found[name] = [torch.from_numpy(np.asarray(part)) for part in (features.features, features.videos)]
    return found


def finetuning(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Three steps with labels and without dropout, then seven test videos, and a single one: one rank has none."""
    given = recipe(group)
    classifier = wiring.build_classifier(given, RGB, 2, None, CPU)
    sgd = torch.optim.SGD(classifier.parameters(), lr=1e-5, momentum=0.9)
    return _trained_with_labels(
        SupervisedLearner(RGB, distributed_classifier(classifier, group), TorchOptimiser(sgd)), group
    )


def linear(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """The same of a linear layer on a frozen encoder, its features normalised over the batch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = wiring.build_encoder(recipe(group), RGB)
        classifier = FrozenClassifier(encoder, 2, unit_features=True, batch_norm=True, compute=CPU, group=group)
    sgd = torch.optim.SGD(classifier.layer(), lr=0.1, momentum=0.9)
    return _trained_with_labels(
        SupervisedLearner(RGB, distributed_classifier(classifier, group), TorchOptimiser(sgd)), group
    )


def _trained_with_labels(learner: SupervisedLearner, group: ProcessGroup) -> dict[str, Any]:
    step, losses = supervised_step(learner), []
    for number in range(3):
        own = batch(group, number)
        outcome = step(own, np.random.default_rng(0))
        losses.append(group.all_gather(outcome.loss[None]).mean())
    found: dict[str, Any] = {"losses": torch.stack(losses), "state": dict(learner.classifier.state_dict())}
    for name, members in {"seven": tuple(range(7)), "one": (3,)}.items():
        clips = FakeEvaluationClips(members=videos_of_rank(members, group), frames=8, size=32)
        predicted = classify(learner.classifier, clips, 2, group)
        found[name] = [torch.from_numpy(part) for part in (predicted.probabilities, predicted.labels, predicted.videos)]
    found["logits"] = group.all_gather(learner.classifier.logits(batch(group, 3).views[RGB][0]))
    return found


def recipe(group: ProcessGroup) -> config.Recipe:
    """One process has as many BatchNorm groups as a group has ranks.

    The learning rate is low because gradients of an untrained network are in the thousands: with a higher one
    the order of summation changes the first digit of the losses within a few steps.
    """
    return config.Recipe(
        name="tiny",
        data=config.Data(store="none"),
        modalities={
            "rgb": config.ModalitySettings(width=0.0625),
            "flow": config.ModalitySettings(width=0.0625, channels=2),
        },
        contrast=config.Contrast(queue=12, bn_groups=2 // group.size, momentum=0.9),
        finetune=config.Finetune(dropout=0.0, bn_groups=2 // group.size),
        optim=config.Optim(name="sgd", lr=1e-9, batch=GLOBAL // group.size),
    )


def batch(group: ProcessGroup, number: int, views: Mapping[Modality, int] | None = None) -> ClipBatch:
    """The rows of this rank of a global batch."""
    clips = FakeTrainingClips(
        views or {RGB: 2, FLOW: 1}, videos=GLOBAL, batch=GLOBAL, frames=8, size=32, seed=3, noise=1.0
    )
    whole = next(clips.batches(number))
    own = slice(group.rank * GLOBAL // group.size, (group.rank + 1) * GLOBAL // group.size)
    dtype = torch.get_default_dtype()
    views = {modality: tuple(view[own].to(dtype) for view in views) for modality, views in whole.views.items()}
    return ClipBatch(views, whole.videos[own], whole.sources[own], whole.labels[own])


def _seen(learner: Learner, step: Step, number: int, group: ProcessGroup) -> dict[str, Tensor]:
    outcome = step(batch(group, number), np.random.default_rng((5, number)))
    diagnostics = learner.diagnostics(outcome)
    assert outcome.compared is not None
    return {
        "loss": group.all_gather(outcome.loss[None]).mean(),
        "accuracy": group.all_gather(outcome.accuracy[None]).mean(),
        "gradient": torch.cat([parameter.grad.flatten() for parameter in learner.query.parameters()]),
        "queue": learner.queue.keys.clone(),
        "sources": learner.queue.sources.clone(),
        "rank": torch.tensor(diagnostics["effective_rank"]),
        "positives": group.all_gather(outcome.compared.positives.double()).sum(),
    }
