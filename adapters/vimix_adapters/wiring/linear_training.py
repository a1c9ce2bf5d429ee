"""Everything that ``vimix.app.train.train`` needs for a linear layer on a frozen encoder."""

from collections.abc import Callable
from pathlib import Path

import torch
from attrs import evolve

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.parallel import SingleProcess
from vimix.app.train import StageRun
from vimix.ports.clips import VideoStore
from vimix.ports.network import Classifier
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.encoders.contrastive_network import Compute, TorchOptimiser
from vimix_adapters.encoders.frozen import FrozenClassifier
from vimix_adapters.wiring.networks import build_encoder, distributed_classifier, load_pretrained, together
from vimix_adapters.wiring.stage_provenance import supervised_provenance
from vimix_adapters.wiring.stage_runs import build_supervised_settings, metrics_in, silent, stage_seed
from vimix_adapters.wiring.stores import build_training_clips, require_labels


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
    """A linear layer over the frozen encoder of a checkpoint (None: of random weights), and its training.

    The protocol's batch is that of all processes together, so that their number changes nothing. Raises VimixError if
    the recipe's protocol has no such training, or its batch does not divide among the processes.
    """
    (layer, _), there, group = end_to_end_of(recipe), end_to_end_recipe(recipe), group or SingleProcess()
    require_labels(store, there.data.train_split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(recipe, modality)
        classifier = FrozenClassifier(
            encoder, len(store.classes), layer.unit_features, layer.batch_norm, compute, group
        )
    load_pretrained(classifier, recipe, modality, checkpoint, compute)
    sgd = torch.optim.SGD(classifier.layer(), lr=layer.lr, momentum=layer.momentum, weight_decay=layer.weight_decay)
    learner = SupervisedLearner(
        modality, distributed_classifier(classifier, group), TorchOptimiser(sgd, together(group))
    )
    batch = own_batch(layer, len(store.members(recipe.evaluate.gallery)), group)
    mine = evolve(there, optim=evolve(there.optim, batch=batch))
    clips = build_training_clips(mine, store, {modality: 1}, stage_seed(recipe, 0), compute, group)
    settings = build_supervised_settings(recipe, layer.epochs, layer.lr, layer.milestones, layer.decay)
    return learner.classifier, StageRun(
        learner=learner,
        step=supervised_step(learner),
        clips=clips,
        settings=settings,
        metrics=silent() if group.rank else metrics_in(folder, f"linear-{modality}", clips.steps * layer.epochs),
        checkpoints=FolderCheckpointStore(folder, writes=group.rank == 0),
        recipe=config.recipe_to_toml(recipe),
        names=[video.name for video in store.videos],
        group=group,
        stop_requested=stop_requested,
        about={
            "stage": "linear",
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "epochs": layer.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
            "data": store.fingerprint,
        },
        origin=supervised_provenance(store, there, modality, checkpoint, layer),
    )


def end_to_end_recipe(recipe: config.Recipe) -> config.Recipe:
    """The recipe with the protocol's split, augmentation and batch. Raises VimixError as ``end_to_end_of``."""
    layer, augment = end_to_end_of(recipe)
    data = evolve(recipe.data, train_split=recipe.evaluate.gallery)
    return evolve(recipe, data=data, augment=augment, optim=evolve(recipe.optim, batch=layer.batch))


def own_batch(layer: LinearSgd, videos: int, group: ProcessGroup) -> int:
    """A member's part of the protocol's batch; a training set of less than that is one batch."""
    batch = min(layer.batch, videos)
    if batch % group.size:
        raise VimixError(
            f"the protocol's batch of {layer.batch} clips ({videos} videos to train on) does not divide among "
            f"{group.size} processes: call it with another number of them, or without torchrun"
        )
    return batch // group.size


def end_to_end_of(recipe: config.Recipe) -> tuple[LinearSgd, config.AugmentSettings]:
    """The layer's training and the augmentation of its clips. Raises VimixError if the protocol has none."""
    protocol = config.protocol_of(recipe)
    if protocol.end_to_end is None:
        raise VimixError(
            f"protocol {protocol.name} trains its linear layer on unaugmented clips, whose features never change: use "
            "vimix evaluate linear, or another --protocol"
        )
    return protocol.end_to_end, protocol.end_to_end_augment
