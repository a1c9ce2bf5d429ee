"""Everything that ``vimix.app.train.train`` needs for a linear layer on a frozen encoder."""

from collections.abc import Callable
from pathlib import Path

import torch
from attrs import evolve

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.train import StageRun
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.encoders.frozen import FrozenClassifier
from vimix_adapters.encoders.network import Compute, TorchOptimiser
from vimix_adapters.probes.sgd import LinearSgd
from vimix_adapters.wiring.networks import build_encoder, load_pretrained
from vimix_adapters.wiring.stores import build_training_clips
from vimix_adapters.wiring.training import build_supervised_settings, metrics_in, stage_seed


def build_linear_training(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> tuple[FrozenClassifier, StageRun]:
    """A linear layer over the frozen encoder of a checkpoint (None: of random weights), and its training.

    Raises VimixError if the recipe's protocol has no such training.
    """
    layer, augment = end_to_end_of(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(recipe, modality)
        classifier = FrozenClassifier(encoder, len(store.classes), layer.unit_features, layer.batch_norm, compute)
    load_pretrained(classifier, recipe, modality, checkpoint, compute)
    sgd = torch.optim.SGD(classifier.layer(), lr=layer.lr, momentum=layer.momentum, weight_decay=layer.weight_decay)
    learner = SupervisedLearner(modality, classifier, TorchOptimiser(sgd))
    # A training set of less than the protocol's batch is one batch.
    batch = min(layer.batch, len(store.members(recipe.evaluate.gallery)))
    data = evolve(recipe.data, train_split=recipe.evaluate.gallery)
    there = evolve(recipe, data=data, augment=augment, optim=evolve(recipe.optim, batch=batch))
    clips = build_training_clips(there, store, {modality: 1}, stage_seed(recipe, 0), compute)
    settings = build_supervised_settings(recipe, layer.epochs, layer.lr, layer.milestones, layer.decay)
    return classifier, StageRun(
        learner=learner,
        step=supervised_step(learner),
        clips=clips,
        settings=settings,
        metrics=metrics_in(folder, f"linear-{modality}", clips.steps * layer.epochs),
        checkpoints=FolderCheckpointStore(folder),
        recipe=config.recipe_to_toml(recipe),
        names=[video.name for video in store.videos],
        asked_to_stop=asked_to_stop,
        about={"stage": "linear", "epochs": layer.epochs, "steps_per_epoch": clips.steps, "seed": recipe.seed},
    )


def end_to_end_of(recipe: config.Recipe) -> tuple[LinearSgd, config.AugmentSettings]:
    """The layer's training and the augmentation of its clips. Raises VimixError if the protocol has none."""
    protocol = config.protocol_of(recipe)
    if protocol.end_to_end is None:
        raise VimixError(
            f"protocol {protocol.name} trains its linear layer on unaugmented clips, whose features never change: use "
            "vimix evaluate linear, or another --protocol"
        )
    return protocol.end_to_end, protocol.end_to_end_augment
