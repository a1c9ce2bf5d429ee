"""Builds trainings with labels: finetuning of a whole network, and a linear layer on a frozen encoder."""

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
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork
from vimix_adapters.encoders.contrastive_network import Compute, TorchOptimiser
from vimix_adapters.wiring.classifiers import classifier_record
from vimix_adapters.wiring.metrics_sinks import metrics_in
from vimix_adapters.wiring.networks import build_classifier, build_optimiser, distributed_classifier
from vimix_adapters.wiring.stage_provenance import supervised_provenance
from vimix_adapters.wiring.stage_runs import common_parts, seeded, stage_seed, warnings
from vimix_adapters.wiring.stores import build_training_clips, require_labels


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
