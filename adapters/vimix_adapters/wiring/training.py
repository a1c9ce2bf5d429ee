"""Everything that ``vimix.app.train.train`` needs for a stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.learner import Learner
from vimix.app.steps import Step, cmmc_step, pretrain_step
from vimix.app.train import StageRun, TrainSettings
from vimix.domain.schedule.stages import PretrainStage, Stage, views_needed
from vimix.ports.clips import VideoStore
from vimix.ports.metrics import MetricsSink
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.encoders.classifier import ClassifyingNetwork
from vimix_adapters.encoders.network import Compute, TorchOptimiser
from vimix_adapters.metrics.console import ProgressMetrics, Together
from vimix_adapters.metrics.hints import InputBoundHint
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.tensorboard import TensorBoardMetrics
from vimix_adapters.wiring.inheriting import inherited_parts
from vimix_adapters.wiring.networks import build_classifier, build_learner, build_trained
from vimix_adapters.wiring.stores import build_training_clips


def build_stage_run(
    recipe: config.Recipe,
    stage: Stage,
    store: VideoStore,
    inits: Mapping[Modality, Checkpoint],
    folder: Path,
    compute: Compute,
    number: int = 0,
) -> StageRun:
    """Everything that ``vimix.app.train.train`` needs for one stage, going on from ``inits``."""
    learner = build_learner(recipe, stage.modality, compute)
    if stage.modality in inits:
        _take_over(learner, inits[stage.modality])
    clips = build_training_clips(recipe, store, views_needed(stage), stage_seed(recipe, number), compute)
    return StageRun(
        learner=learner,
        step=build_step(recipe, stage, learner, inits, compute),
        clips=clips,
        settings=build_train_settings(recipe, stage, number),
        metrics=metrics_in(folder, stage.name, clips.steps * stage.epochs),
        checkpoints=FolderCheckpointStore(folder),
        recipe=config.recipe_to_toml(recipe),
        about={"stage": stage.name, "epochs": stage.epochs, "steps_per_epoch": clips.steps, "seed": recipe.seed},
    )


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
    if stage.partner not in inits:
        raise VimixError(f"stage {stage.name} needs a trained {stage.partner} encoder: pretrain it first")
    partner = build_trained(recipe, inits[stage.partner], compute).eval().requires_grad_(False)
    return cmmc_step(learner, partner, stage.partner, stage.policy, stage.layers)


def build_train_settings(recipe: config.Recipe, stage: Stage, number: int) -> TrainSettings:
    """Length and learning rate of a stage."""
    decay = recipe.pretrain.decay if isinstance(stage, PretrainStage) else recipe.cmmc.decay
    return TrainSettings(
        epochs=stage.epochs,
        rate=recipe.optim.lr,
        milestones=stage.milestones,
        decay=decay,
        warmup_steps=recipe.optim.warmup_steps,
        seed=stage_seed(recipe, number),
        log_every=recipe.run.log_every,
        checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
    )


def build_finetuning(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
) -> tuple[ClassifyingNetwork, StageRun]:
    """A classifier, and everything that ``vimix.app.train.train`` needs to train it."""
    settings = recipe.finetune
    classifier = build_classifier(recipe, modality, len(store.classes), checkpoint, compute)
    groups: list[dict[str, Any]] = [
        {"params": list(classifier.encoder.parameters()), "share": settings.encoder_share},
        {"params": list(classifier.linear.parameters())},
    ]
    adam = torch.optim.Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    learner = SupervisedLearner(modality, classifier, TorchOptimiser(adam))
    seed = stage_seed(recipe, 0)
    clips = build_training_clips(recipe, store, {modality: 1}, seed, compute)
    steps = clips.steps * settings.epochs
    return classifier, StageRun(
        learner=learner,
        step=supervised_step(learner),
        clips=clips,
        settings=TrainSettings(
            epochs=settings.epochs,
            rate=settings.lr,
            milestones=settings.milestones,
            decay=settings.decay,
            seed=seed,
            log_every=recipe.run.log_every,
            checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
        ),
        metrics=metrics_in(folder, f"finetune-{modality}", steps),
        checkpoints=FolderCheckpointStore(folder),
        recipe=config.recipe_to_toml(recipe),
        about={
            "stage": "finetune",
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "epochs": settings.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
        },
    )


def metrics_in(folder: Path, title: str, steps: int) -> MetricsSink:
    """Lines of JSON, TensorBoard events and a progress bar."""
    return Together(
        [
            JsonlMetrics(folder / "metrics.jsonl"),
            TensorBoardMetrics(folder / "tensorboard"),
            ProgressMetrics(steps, title),
            InputBoundHint(),
        ]
    )
