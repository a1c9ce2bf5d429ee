"""Builds trainings with labels: finetuning of a whole network, and a linear layer on a frozen encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import evolve

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.parallel import SingleProcess
from vimix.app.stage_run import StageRun
from vimix.ports.clips import VideoStore
from vimix.ports.network import Classifier
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork
from vimix_adapters.encoders.contrastive_network import Compute, TorchOptimiser
from vimix_adapters.encoders.frozen import FrozenClassifier
from vimix_adapters.wiring.classifiers import classifier_record
from vimix_adapters.wiring.networks import (
    build_classifier,
    build_encoder,
    distributed_classifier,
    load_pretrained,
    together,
)
from vimix_adapters.wiring.stage_provenance import supervised_provenance
from vimix_adapters.wiring.stage_runs import common_parts, metrics_in, seeded, stage_seed, warnings
from vimix_adapters.wiring.stores import build_training_clips, require_labels


def build_finetuning(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    stop_requested: Callable[[], bool] = lambda: False,
    group: ProcessGroup | None = None,
) -> tuple[Classifier, StageRun]:
    """A classifier on the encoder of a checkpoint (None: of random weights), and the run that trains all of it.

    Raises VimixError if a training video has no label, or the checkpoint does not fit the recipe's encoder.
    """
    settings = recipe.finetune
    require_labels(store, recipe.data.train_split)
    classifier = build_classifier(recipe, modality, len(store.classes), checkpoint, compute)
    groups: list[dict[str, Any]] = [
        {"params": list(classifier.encoder.parameters()), "share": settings.encoder_share},
        {"params": list(classifier.linear.parameters())},
    ]
    adam = torch.optim.Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return _supervised_run(
        "finetune",
        classifier,
        adam,
        settings,
        recipe=recipe,
        clips_recipe=recipe,
        decisive=evolve(settings, crops="ten"),  # the crops of the test videos do not decide the training
        store=store,
        modality=modality,
        checkpoint=checkpoint,
        folder=folder,
        compute=compute,
        stop_requested=stop_requested,
        group=group or SingleProcess(),
    )


def build_linear_training(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    stop_requested: Callable[[], bool] = lambda: False,
    group: ProcessGroup | None = None,
) -> tuple[Classifier, StageRun]:
    """A linear layer on the frozen encoder of a checkpoint (None: of random weights), and the run that trains it.

    The protocol's batch is divided among the processes, so that their number changes nothing. Raises VimixError if the
    recipe's protocol has no such training, a training video has no label, or the batch does not divide.
    """
    (layer, _), clips_recipe, group = end_to_end_of(recipe), end_to_end_recipe(recipe), group or SingleProcess()
    require_labels(store, clips_recipe.data.train_split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(recipe, modality)
        classifier = FrozenClassifier(
            encoder, len(store.classes), layer.unit_features, layer.batch_norm, compute, group
        )
    load_pretrained(classifier, recipe, modality, checkpoint, compute)
    sgd = torch.optim.SGD(classifier.layer(), lr=layer.lr, momentum=layer.momentum, weight_decay=layer.weight_decay)
    return _supervised_run(
        "linear",
        classifier,
        sgd,
        layer,
        recipe=recipe,
        clips_recipe=clips_recipe,
        batch=batch_of_rank(layer, len(store.members(recipe.evaluate.gallery)), group),
        decisive=layer,
        store=store,
        modality=modality,
        checkpoint=checkpoint,
        folder=folder,
        compute=compute,
        stop_requested=stop_requested,
        group=group,
    )


def _supervised_run(
    name: str,
    classifier: ClassifyingNetwork,
    optimiser: torch.optim.Optimizer,
    settings: config.Finetune | LinearSgd,
    *,
    recipe: config.Recipe,
    clips_recipe: config.Recipe,
    batch: int | None = None,
    decisive: object,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    stop_requested: Callable[[], bool],
    group: ProcessGroup,
) -> tuple[Classifier, StageRun]:
    """The classifier as the group trains it, and its run: one augmented view a video, with its label.

    ``settings`` give the length and the learning rate, ``clips_recipe`` the training clips (``batch`` of them a rank,
    unless it is None). A run that is resumed must have been begun with equal ``decisive`` settings.
    """
    learner = SupervisedLearner(
        modality, distributed_classifier(classifier, group), TorchOptimiser(optimiser, together(group))
    )
    seed = stage_seed(recipe, 0)
    shared = clips_recipe if batch is None else evolve(clips_recipe, optim=evolve(clips_recipe.optim, batch=batch))
    clips = build_training_clips(shared, store, {modality: 1}, seed, compute, group)
    return learner.classifier, StageRun(
        name=name,
        learner=learner,
        step=seeded(supervised_step(learner), compute.device, group.rank),
        clips=clips,
        epochs=settings.epochs,
        rate=settings.lr,
        milestones=settings.milestones,
        decay=settings.decay,
        seed=seed,
        metrics=metrics_in(folder, f"{name}-{modality}", clips.steps * settings.epochs, group),
        callbacks=warnings(group),
        about={
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "seed": recipe.seed,
            "data": store.fingerprint,
            **classifier_record(recipe, store, settings),
        },
        origin=supervised_provenance(store, clips_recipe, modality, checkpoint, decisive),
        **common_parts(recipe, store, folder, group, stop_requested),
    )


def end_to_end_recipe(recipe: config.Recipe) -> config.Recipe:
    """The recipe with the protocol's split, augmentation and batch. Raises VimixError as ``end_to_end_of``."""
    layer, augment = end_to_end_of(recipe)
    data = evolve(recipe.data, train_split=recipe.evaluate.gallery)
    return evolve(recipe, data=data, augment=augment, optim=evolve(recipe.optim, batch=layer.batch))


def batch_of_rank(layer: LinearSgd, videos: int, group: ProcessGroup) -> int:
    """A rank's share of the protocol's batch; a smaller training set is a single batch.

    Raises VimixError if the batch does not divide among the processes.
    """
    batch = min(layer.batch, videos)
    if batch % group.size:
        raise VimixError(
            f"the protocol's batch of {layer.batch} clips ({videos} videos to train on) does not divide among "
            f"{group.size} processes: call it with another number of them, or without torchrun"
        )
    return batch // group.size


def end_to_end_of(recipe: config.Recipe) -> tuple[LinearSgd, config.AugmentSettings]:
    """Training of the linear layer and augmentation of its clips. Raises VimixError if the protocol has neither."""
    protocol = config.protocol_of(recipe)
    if protocol.end_to_end is None:
        raise VimixError(
            f"protocol {protocol.name} trains its linear layer on unaugmented clips, whose features never change: use "
            "vimix evaluate linear, or another --protocol"
        )
    return protocol.end_to_end, protocol.end_to_end_augment
