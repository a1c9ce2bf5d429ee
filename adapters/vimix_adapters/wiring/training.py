"""Everything that ``vimix.app.train.train`` needs for a stage."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import evolve

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.learner import Learner, StepOutcome
from vimix.app.steps import Step, cmmc_step, manifold_step, pretrain_step
from vimix.app.team import Alone
from vimix.app.train import StageRun, TrainSettings
from vimix.domain.schedule.stages import ManifoldStage, PretrainStage, Stage, views_needed
from vimix.ports.clips import VideoStore
from vimix.ports.metrics import MetricsSink
from vimix.ports.network import Classifier
from vimix.ports.team import Team
from vimix.values.checkpoint import Checkpoint
from vimix.values.clips import ClipBatch
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.encoders.network import Compute, TorchOptimiser
from vimix_adapters.metrics.console import ProgressMetrics, Together
from vimix_adapters.metrics.hints import InputBoundHint
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.tensorboard import TensorBoardMetrics
from vimix_adapters.metrics.watch import Watch
from vimix_adapters.wiring.inheriting import inherited_parts
from vimix_adapters.wiring.networks import build_classifier, build_learner, build_trained, spread, together
from vimix_adapters.wiring.origin import stage_origin, supervised_origin
from vimix_adapters.wiring.packing import packing_record, store_settings
from vimix_adapters.wiring.stores import build_training_clips, require_labels
from vimix_adapters.wiring.watch import build_watch


def build_stage_run(
    recipe: config.Recipe,
    stage: Stage,
    store: VideoStore,
    inits: Mapping[Modality, Checkpoint],
    folder: Path,
    compute: Compute,
    number: int = 0,
    team: Team | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
) -> StageRun:
    """Everything that ``vimix.app.train.train`` needs for one stage, going on from ``inits``. Member 0 writes."""
    team = team or Alone()
    learner = build_learner(recipe, stage.modality, compute, team)
    if stage.modality in inits:
        _take_over(learner, inits[stage.modality])
    clips = build_training_clips(recipe, store, views_needed(stage), stage_seed(recipe, number), compute, team)
    watch = build_watch(recipe, store, stage.modality, learner.query, compute, team)
    possible_rank = min(team.size * recipe.optim.batch, recipe.contrast.embedding)
    return StageRun(
        learner=learner,
        step=seeded(build_step(recipe, stage, learner, inits, compute), compute.device, team.rank),
        clips=clips,
        settings=build_train_settings(recipe, stage, number),
        metrics=silent() if team.rank else metrics_in(folder, stage.name, clips.steps * stage.epochs, possible_rank),
        checkpoints=FolderCheckpointStore(folder, writes=team.rank == 0),
        recipe=config.recipe_to_toml(recipe),
        names=[video.name for video in store.videos],
        team=team,
        asked_to_stop=asked_to_stop,
        about={
            "stage": stage.name,
            "epochs": stage.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
            **packing_record(store_settings(recipe.data.store)),
        },
        origin=stage_origin(store, stage, inits),
        watch=watch,
    )


def seeded(step: Step, device: torch.device, member: int = 0) -> Step:
    """A step whose dropout too is drawn from its own generator, so that a resumed run draws the same.

    The generator's stream is left alone: a child of it seeds torch, for the length of the step, each member apart.
    """
    devices = [device] if device.type == "cuda" else []

    def run(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(rng.spawn(member + 1)[member].integers(2**63)))
            return step(batch, rng)

    return run


def _take_over(learner: Learner, init: Checkpoint) -> None:
    try:
        learner.take_over(inherited_parts(init, learner.state_dict()))
    except (RuntimeError, ValueError) as error:
        raise VimixError(
            f"the checkpoint of {init.modality} does not fit the recipe: {' '.join(str(error).split())[:300]}"
        ) from error


def stage_seed(recipe: config.Recipe, number: int) -> int:
    """Stage n of every arm sees the same data order and draws: arms are compared pairwise."""
    return int(np.random.SeedSequence((recipe.seed, number)).generate_state(1)[0])


def build_step(
    recipe: config.Recipe, stage: Stage, learner: Learner, inits: Mapping[Modality, Checkpoint], compute: Compute
) -> Step:
    """The training step of the stage."""
    if isinstance(stage, PretrainStage):
        return pretrain_step(learner, stage.policy)
    if isinstance(stage, ManifoldStage):
        return manifold_step(learner, stage.policy, stage.layers)
    if stage.partner not in inits:
        raise VimixError(f"stage {stage.name} needs a trained {stage.partner} encoder: pretrain it first")
    partner = build_trained(recipe, inits[stage.partner], compute).eval().requires_grad_(False)
    return cmmc_step(learner, partner, stage.partner, stage.policy, stage.layers)


def build_train_settings(recipe: config.Recipe, stage: Stage, number: int) -> TrainSettings:
    """Length and learning rate of a stage."""
    decay = recipe.pretrain.decay if isinstance(stage, PretrainStage) else recipe.cmmc.decay
    return TrainSettings(
        epochs=stage.epochs,
        rate=stage.rate,
        milestones=stage.milestones,
        decay=decay,
        warmup_steps=recipe.optim.warmup_steps,
        seed=stage_seed(recipe, number),
        log_every=recipe.run.log_every,
        checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
        watch_every=recipe.evaluate.knn_every,
        checkpoint_steps=recipe.run.checkpoint_steps,
        max_bad_steps=recipe.run.max_bad_steps,
    )


def build_supervised_settings(
    recipe: config.Recipe, epochs: int, lr: float, milestones: tuple[int, ...], decay: float
) -> TrainSettings:
    """Length and learning rate of a training with labels; how it is run is the recipe's [run]."""
    return TrainSettings(
        epochs=epochs,
        rate=lr,
        milestones=milestones,
        decay=decay,
        seed=stage_seed(recipe, 0),
        log_every=recipe.run.log_every,
        checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
        checkpoint_steps=recipe.run.checkpoint_steps,
        max_bad_steps=recipe.run.max_bad_steps,
    )


def build_finetuning(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
    asked_to_stop: Callable[[], bool] = lambda: False,
    team: Team | None = None,
) -> tuple[Classifier, StageRun]:
    """A classifier, and everything that ``vimix.app.train.train`` needs to train it. Member 0 writes."""
    settings, team = recipe.finetune, team or Alone()
    require_labels(store, recipe.data.train_split)
    classifier = build_classifier(recipe, modality, len(store.classes), checkpoint, compute)
    groups: list[dict[str, Any]] = [
        {"params": list(classifier.encoder.parameters()), "share": settings.encoder_share},
        {"params": list(classifier.linear.parameters())},
    ]
    adam = torch.optim.Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    learner = SupervisedLearner(modality, spread(classifier, team), TorchOptimiser(adam, together(team)))
    seed = stage_seed(recipe, 0)
    clips = build_training_clips(recipe, store, {modality: 1}, seed, compute, team)
    steps = clips.steps * settings.epochs
    return learner.classifier, StageRun(
        learner=learner,
        step=seeded(supervised_step(learner), compute.device, team.rank),
        clips=clips,
        settings=build_supervised_settings(recipe, settings.epochs, settings.lr, settings.milestones, settings.decay),
        names=[video.name for video in store.videos],
        team=team,
        asked_to_stop=asked_to_stop,
        metrics=silent() if team.rank else metrics_in(folder, f"finetune-{modality}", steps),
        checkpoints=FolderCheckpointStore(folder, writes=team.rank == 0),
        recipe=config.recipe_to_toml(recipe),
        about={
            "stage": "finetune",
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "epochs": settings.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
            "data": store.fingerprint,
        },
        origin=supervised_origin(store, recipe, modality, checkpoint, evolve(settings, crops="ten")),
    )


def metrics_in(folder: Path, title: str, steps: int, possible_rank: int = 0) -> MetricsSink:
    """Lines of JSON, TensorBoard events, a progress bar, and warnings when the embeddings seem to collapse."""
    return Together(
        [
            JsonlMetrics(folder / "metrics.jsonl"),
            TensorBoardMetrics(folder / "tensorboard"),
            ProgressMetrics(steps, title),
            InputBoundHint(),
            Watch(possible_rank),
        ]
    )


def silent() -> MetricsSink:
    """For all but one of the processes that train together."""
    return Together([])
