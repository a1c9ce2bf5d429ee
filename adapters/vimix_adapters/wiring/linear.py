"""Everything that ``vimix.app.train.train`` needs for a linear layer on a frozen encoder."""

from collections.abc import Callable
from pathlib import Path

import torch
from attrs import evolve

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.team import Alone
from vimix.app.train import StageRun
from vimix.ports.clips import VideoStore
from vimix.ports.network import Classifier
from vimix.ports.team import Team
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.encoders.frozen import FrozenClassifier
from vimix_adapters.encoders.network import Compute, TorchOptimiser
from vimix_adapters.probes.sgd import LinearSgd
from vimix_adapters.wiring.networks import build_encoder, load_pretrained, spread, together
from vimix_adapters.wiring.origin import supervised_origin
from vimix_adapters.wiring.stores import build_training_clips, require_labels
from vimix_adapters.wiring.training import build_supervised_settings, metrics_in, silent, stage_seed


def build_linear_training(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    asked_to_stop: Callable[[], bool] = lambda: False,
    team: Team | None = None,
) -> tuple[Classifier, StageRun]:
    """A linear layer over the frozen encoder of a checkpoint (None: of random weights), and its training.

    The protocol's batch is that of all processes together, so that their number changes nothing. Raises VimixError if
    the recipe's protocol has no such training, or its batch does not divide among the processes.
    """
    (layer, _), there, team = end_to_end_of(recipe), end_to_end_recipe(recipe), team or Alone()
    require_labels(store, there.data.train_split)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(recipe, modality)
        classifier = FrozenClassifier(encoder, len(store.classes), layer.unit_features, layer.batch_norm, compute, team)
    load_pretrained(classifier, recipe, modality, checkpoint, compute)
    sgd = torch.optim.SGD(classifier.layer(), lr=layer.lr, momentum=layer.momentum, weight_decay=layer.weight_decay)
    learner = SupervisedLearner(modality, spread(classifier, team), TorchOptimiser(sgd, together(team)))
    batch = own_batch(layer, len(store.members(recipe.evaluate.gallery)), team)
    mine = evolve(there, optim=evolve(there.optim, batch=batch))
    clips = build_training_clips(mine, store, {modality: 1}, stage_seed(recipe, 0), compute, team)
    settings = build_supervised_settings(recipe, layer.epochs, layer.lr, layer.milestones, layer.decay)
    return learner.classifier, StageRun(
        learner=learner,
        step=supervised_step(learner),
        clips=clips,
        settings=settings,
        metrics=silent() if team.rank else metrics_in(folder, f"linear-{modality}", clips.steps * layer.epochs),
        checkpoints=FolderCheckpointStore(folder, writes=team.rank == 0),
        recipe=config.recipe_to_toml(recipe),
        names=[video.name for video in store.videos],
        team=team,
        asked_to_stop=asked_to_stop,
        about={
            "stage": "linear",
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "epochs": layer.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
            "data": store.fingerprint,
        },
        origin=supervised_origin(store, there, modality, checkpoint, layer),
    )


def end_to_end_recipe(recipe: config.Recipe) -> config.Recipe:
    """The recipe with the protocol's split, augmentation and batch. Raises VimixError as ``end_to_end_of``."""
    layer, augment = end_to_end_of(recipe)
    data = evolve(recipe.data, train_split=recipe.evaluate.gallery)
    return evolve(recipe, data=data, augment=augment, optim=evolve(recipe.optim, batch=layer.batch))


def own_batch(layer: LinearSgd, videos: int, team: Team) -> int:
    """A member's part of the protocol's batch; a training set of less than that is one batch."""
    batch = min(layer.batch, videos)
    if batch % team.size:
        raise VimixError(
            f"the protocol's batch of {layer.batch} clips ({videos} videos to train on) does not divide among "
            f"{team.size} processes: call it with another number of them, or without torchrun"
        )
    return batch // team.size


def end_to_end_of(recipe: config.Recipe) -> tuple[LinearSgd, config.AugmentSettings]:
    """The layer's training and the augmentation of its clips. Raises VimixError if the protocol has none."""
    protocol = config.protocol_of(recipe)
    if protocol.end_to_end is None:
        raise VimixError(
            f"protocol {protocol.name} trains its linear layer on unaugmented clips, whose features never change: use "
            "vimix evaluate linear, or another --protocol"
        )
    return protocol.end_to_end, protocol.end_to_end_augment
