"""Builds trainings with labels, of a whole network or of a linear layer on a frozen encoder, and their classifiers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from attrs import asdict, evolve, frozen

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.parallel import SINGLE_PROCESS
from vimix.app.stage_run import StageRun
from vimix.ports.clips import VideoStore
from vimix.ports.network import Classifier
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.config.probe_settings import Finetuning, LinearSgd
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork, FrozenClassifier
from vimix_adapters.encoders.contrastive_network import Compute, TorchOptimiser
from vimix_adapters.wiring.metrics_sinks import metrics_in
from vimix_adapters.wiring.networks import (
    build_classifier,
    build_encoder,
    build_optimiser,
    distributed_classifier,
    fitting,
)
from vimix_adapters.wiring.recorded_settings import packing_record, recorded_packing, store_settings
from vimix_adapters.wiring.stage_provenance import supervised_provenance
from vimix_adapters.wiring.stage_runs import common_parts, seeded, stage_seed, warnings
from vimix_adapters.wiring.stores import build_training_clips, require_labels

CLASSES, UNIT_FEATURES = "classes", "unit_features"
"""Keys of ``Checkpoint.about``: names of the classes as JSON, and whether the layer scales features to length 1."""


@frozen
class SupervisedTraining:
    """A training with labels of one modality, as its recipe describes it."""

    name: str
    modality: Modality
    recipe: config.Recipe
    settings: Finetuning | LinearSgd
    """Length, optimiser and layer; ``LinearSgd`` freezes the encoder."""
    trained_as: config.Recipe
    """The recipe with the split, augmentation and batch of the training clips."""
    crops: str
    """Crops taken of each test video."""


def finetuning(recipe: config.Recipe, modality: Modality) -> SupervisedTraining:
    """Encoder and linear layer are trained ([finetune])."""
    settings = config.finetuning_of(recipe, modality)
    trained_as = evolve(recipe, augment=config.finetune_augment_of(recipe))
    return SupervisedTraining("finetune", modality, recipe, settings, trained_as, settings.crops)


def linear_training(recipe: config.Recipe, modality: Modality) -> SupervisedTraining:
    """A linear layer is trained on the frozen encoder. Raises VimixError if the protocol has no such training."""
    protocol = config.protocol_of(recipe)
    if protocol.end_to_end is None:
        raise VimixError(
            f"protocol {protocol.name} trains its linear layer on unaugmented clips, whose features never change: use "
            "vimix evaluate linear, or another --protocol"
        )
    trained_as = evolve(
        recipe,
        data=evolve(recipe.data, train_split=recipe.evaluate.gallery),
        augment=protocol.end_to_end_augment,
        optim=evolve(recipe.optim, batch=protocol.end_to_end.batch),
    )
    return SupervisedTraining("linear", modality, recipe, protocol.end_to_end, trained_as, "protocol")


def build_supervised_run(
    training: SupervisedTraining,
    store: VideoStore,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    stop_requested: Callable[[], bool] = lambda: False,
    group: ProcessGroup = SINGLE_PROCESS,
) -> tuple[Classifier, StageRun]:
    """The classifier on the encoder of a checkpoint (None: of random weights), and the run that trains it.

    The run sees one augmented view of a video with its label. A run that is resumed must have been begun with equal
    settings. Raises VimixError if a training video has no label, the checkpoint does not fit the recipe's encoder, or
    the batch of a linear layer does not divide among the processes.
    """
    recipe, settings, modality = training.recipe, training.settings, training.modality
    seed, title = stage_seed(recipe, 0), f"{training.name}-{modality}"
    require_labels(store, training.trained_as.data.train_split)
    layer = settings if isinstance(settings, LinearSgd) else None
    network = build_classifier(recipe, modality, len(store.classes), checkpoint, compute, group, layer)
    optimiser = _optimiser(settings, network, group)
    learner = SupervisedLearner(modality, distributed_classifier(network, group), optimiser)
    clips = build_training_clips(_of_rank(training, store, group), store, {modality: 1}, seed, compute, group)
    # The crops of test videos do not decide the training.
    decisive = evolve(settings, crops="ten") if isinstance(settings, Finetuning) else settings
    return learner.classifier, StageRun(
        name=training.name,
        learner=learner,
        step=seeded(supervised_step(learner), compute.device, group.rank),
        clips=clips,
        epochs=settings.epochs,
        rate=settings.lr,
        milestones=settings.milestones,
        decay=settings.decay,
        seed=seed,
        metrics=metrics_in(
            folder, title, clips.steps * settings.epochs, recipe, {training.name: asdict(settings)}, group
        ),
        callbacks=warnings(group),
        about={
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "seed": recipe.seed,
            "data": store.fingerprint,
            **classifier_record(recipe, store, settings),
        },
        origin=supervised_provenance(store, training.trained_as, modality, checkpoint, decisive),
        **common_parts(recipe, store, folder, group, stop_requested),
    )


def _optimiser(settings: Finetuning | LinearSgd, network: ClassifyingNetwork, group: ProcessGroup) -> TorchOptimiser:
    """Adam or SGD over the layer and, in finetuning, the encoder with its share of the learning rate."""
    name: Literal["adam", "sgd"] = "sgd"
    groups: list[dict[str, Any]] = [{"params": list(network.layer())}]
    if isinstance(settings, Finetuning):
        name = settings.optimiser
        groups = [{"params": list(network.encoder.parameters()), "share": settings.encoder_share}, *groups]
    return build_optimiser(name, groups, settings.lr, settings.momentum, settings.weight_decay, group)


def _of_rank(training: SupervisedTraining, store: VideoStore, group: ProcessGroup) -> config.Recipe:
    """The recipe of the training clips with the batch of one rank: a protocol's batch is that of all processes."""
    recipe = training.trained_as
    if isinstance(training.settings, Finetuning):
        return recipe
    batch = batch_of_rank(training.settings, len(store.members(recipe.data.train_split)), group)
    return evolve(recipe, optim=evolve(recipe.optim, batch=batch))


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


def classifier_record(recipe: config.Recipe, store: VideoStore, settings: object) -> dict[str, str | int]:
    """The entries of ``Checkpoint.about`` with which a classifier can be used without its store."""
    unit = isinstance(settings, LinearSgd) and settings.unit_features
    packing = packing_record(store_settings(recipe.data.store))
    return {CLASSES: json.dumps(list(store.classes)), UNIT_FEATURES: int(unit), **packing}


def recorded_classes(checkpoint: Checkpoint) -> list[str]:
    """Names of the classes of a classifier; those of older checkpoints, which record none, are their numbers."""
    if CLASSES in checkpoint.about:
        return list(json.loads(str(checkpoint.about[CLASSES])))
    return [str(number) for number in range(len(checkpoint.parts["classifier"]["linear.bias"]))]


def build_recorded_classifier(recipe: config.Recipe, checkpoint: Checkpoint, compute: Compute) -> ClassifyingNetwork:
    """The classifier of a checkpoint. Raises VimixError if the checkpoint has none, or the recipe describes another."""
    if "classifier" not in checkpoint.parts:
        raise VimixError(
            f"this checkpoint of {checkpoint.modality} has no classifier, only {', '.join(checkpoint.parts)}: train "
            "one with vimix evaluate finetune (or linear-end-to-end), whose folder FILE/MODALITY holds it"
        )
    state = checkpoint.parts["classifier"]
    encoder = build_encoder(recipe, Modality(checkpoint.modality), recorded_packing(checkpoint.about))
    classes = len(state["linear.bias"])
    if checkpoint.about.get("stage") == "linear":  # trained on a frozen encoder
        unit = bool(checkpoint.about.get(UNIT_FEATURES, True))
        network: ClassifyingNetwork = FrozenClassifier(encoder, classes, unit, "norm.weight" in state, compute)
    else:
        network = ClassifyingNetwork(encoder, classes, 0.0, compute)
    with fitting(f"the classifier of {checkpoint.modality}", "its recipe"):
        network.load_state_dict(state)
    return network
