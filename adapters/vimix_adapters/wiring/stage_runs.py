"""Builds the stages of self-supervised training, and what every training run has in common."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from vimix.app.joint import JointLearner, joint_step
from vimix.app.learner import Learner, StepOutcome
from vimix.app.online_knn import OnlineKnn
from vimix.app.parallel import SINGLE_PROCESS, videos_of_rank
from vimix.app.stage_run import StageRun
from vimix.app.steps import (
    Step,
    cmmc_step,
    manifold_step,
    mining_step,
    pretrain_step,
    simclr_step,
    symmetric_step,
)
from vimix.domain.contrast.finders import Labels
from vimix.domain.schedule.stages import Objective, Stage
from vimix.ports.callback import Callback
from vimix.ports.clips import EvaluationClips, VideoStore
from vimix.ports.network import Network
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.clip_batch import ClipBatch
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.metrics.training_warnings import CollapseWarning, InputBoundHint
from vimix_adapters.wiring.metrics_sinks import metrics_in
from vimix_adapters.wiring.networks import build_stage_learner, build_trained, fitting, inherited_parts
from vimix_adapters.wiring.recorded_settings import packing_record, store_settings
from vimix_adapters.wiring.stage_provenance import stage_provenance
from vimix_adapters.wiring.stores import build_evaluation_clips, build_training_clips, require_labels, sources_of

PAIR_STEPS: Mapping[Objective, Callable[[Learner], Step]] = {
    Objective.SIMCLR: simclr_step,
    Objective.SYMMETRIC: symmetric_step,
}
"""Steps of the objectives in which both views are queries."""


def build_stage_run(
    recipe: config.Recipe,
    stage: Stage,
    store: VideoStore,
    inits: Mapping[Modality, Checkpoint],
    folder: Path,
    compute: Compute,
    number: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    stop_requested: Callable[[], bool] = lambda: False,
    about: Mapping[str, str | int | float] | None = None,
) -> StageRun:
    """Stage number ``number`` of a plan, ready to train, starting from the checkpoints ``inits``. Rank 0 writes.

    ``about`` holds further facts for the record of its checkpoints. Raises VimixError if a checkpoint does not fit the
    recipe's encoder, or the stage needs a partner that ``inits`` lacks.
    """
    seed = stage_seed(recipe, number)
    if isinstance(stage.finder, Labels):
        require_labels(store, recipe.data.train_split)
    clips = build_training_clips(recipe, store, stage.views_needed, seed, compute, group)
    learner = build_stage_learner(recipe, stage, compute, group, clips.steps)
    views = learner.views if isinstance(learner, JointLearner) else {learner.modality: learner}
    for modality, view in views.items():
        if modality in inits:
            _load_weights(view, inits[modality], store.fingerprint, queue=len(views) == 1)
    knn = [
        _online_knn(recipe, store, m, view.query, compute, group, stage.epochs, f"{m}/" if stage.together else "")
        for m, view in views.items()
        if recipe.evaluate.knn_every
    ]
    possible_rank = min(group.size * recipe.optim.batch, recipe.contrast.embedding)
    return StageRun(
        name=stage.name,
        learner=learner,
        step=seeded(build_step(recipe, stage, learner, inits, compute), compute.device, group.rank),
        clips=clips,
        epochs=stage.epochs,
        rate=stage.rate,
        milestones=stage.milestones,
        decay=stage.decay,
        warmup_steps=recipe.optim.warmup_steps,
        seed=seed,
        metrics=metrics_in(folder, stage.name, clips.steps * stage.epochs, recipe, _settings(recipe, stage), group),
        callbacks=[*warnings(group, possible_rank), *knn],
        about={"seed": recipe.seed, **packing_record(store_settings(recipe.data.store)), **(about or {})},
        origin=stage_provenance(store, stage, inits),
        **common_parts(recipe, store, folder, group, stop_requested),
    )


def _online_knn(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    network: Network,
    compute: Compute,
    group: ProcessGroup,
    epochs: int,
    prefix: str,
) -> OnlineKnn:
    """A callback that measures the network on evenly spaced videos of both evaluation splits.

    Each rank of the group takes some of the videos. ``epochs`` is the length of the stage, ``prefix`` comes before the
    name of the number. Raises VimixError if a split has no video with a label.
    """
    settings = recipe.evaluate
    in_process = attrs.evolve(recipe, data=attrs.evolve(recipe.data, workers=0))  # the training has workers of its own

    def clips(split: str) -> EvaluationClips:
        labelled = [video for video in store.members(split) if store.videos[video].label >= 0]
        if not labelled:
            raise VimixError(
                f"evaluate.knn_every: split {split!r} has no video with a label to measure accuracy on: choose another "
                "evaluate.gallery or evaluate.queries, or set knn_every = 0"
            )
        chosen = np.linspace(0, len(labelled) - 1, min(settings.knn_videos, len(labelled))).round().astype(int)
        videos = videos_of_rank([labelled[i] for i in chosen], group)
        return build_evaluation_clips(in_process, store, videos, modality, compute)

    return OnlineKnn(
        network=network,
        gallery=clips(settings.gallery),
        queries=clips(settings.queries),
        sources=sources_of(store),
        neighbours=settings.knn_neighbours,
        batch=settings.batch_clips,
        group=group,
        every=settings.knn_every,
        epochs=epochs,
        name=f"{prefix}knn_accuracy",
    )


def _settings(recipe: config.Recipe, stage: Stage) -> dict[str, Any]:
    """The settings that decide a stage, by which runs are compared: the recipe's, and the fields of the stage."""
    own = {name: getattr(stage, name) for name in attrs.fields_dict(Stage)}
    plain = {name: value if isinstance(value, int | float) else str(value) for name, value in own.items()}
    return {**config.training_settings(recipe), "stage": plain}


def build_step(
    recipe: config.Recipe,
    stage: Stage,
    learner: Learner | JointLearner,
    inits: Mapping[Modality, Checkpoint],
    compute: Compute,
) -> Step:
    """The training step of the stage. Raises VimixError if ``inits`` lacks the partner."""
    if stage.partner is None:
        return step_of(stage, learner, None)
    if stage.partner not in inits:
        raise VimixError(f"stage {stage.name} needs a trained {stage.partner} encoder: pretrain it first")
    return step_of(stage, learner, build_trained(recipe, inits[stage.partner], compute).eval().requires_grad_(False))


def step_of(stage: Stage, learner: Learner | JointLearner, partner: Network | None) -> Step:
    """The training step of the stage, chosen by the fields that the stage has."""
    if isinstance(learner, JointLearner):
        return joint_step(learner)
    if partner is None or stage.partner is None:
        if stage.objective in PAIR_STEPS:
            return PAIR_STEPS[stage.objective](learner)
        if stage.layers is None:
            return pretrain_step(learner, stage.policy)
        return manifold_step(learner, stage.policy, stage.layers)
    if stage.layers is None:
        return mining_step(learner, partner, stage.partner, stage.policy)
    return cmmc_step(learner, partner, stage.partner, stage.policy, stage.layers)


def seeded(step: Step, device: torch.device, rank: int = 0) -> Step:
    """The step with torch's generator (dropout) seeded from the step's own, so that a resumed run draws the same.

    The seed comes from a child of the step's generator, one for each rank: the generator's own stream does not move.
    torch's global state is restored afterwards.
    """
    devices = [device] if device.type == "cuda" else []

    def run(batch: ClipBatch, rng: np.random.Generator) -> StepOutcome:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(rng.spawn(rank + 1)[rank].integers(2**63)))
            return step(batch, rng)

    return run


def _load_weights(learner: Learner, init: Checkpoint, data: str, queue: bool) -> None:
    """Start from the weights of a checkpoint, and from its ``queue`` or an empty one.

    Raises VimixError if they do not fit.
    """
    fresh = learner.state_dict()
    with fitting(f"the checkpoint of {init.modality}", "the recipe"):
        parts = inherited_parts(init, fresh, data)
        learner.load_weights(parts if queue else {**parts, "queue": fresh["queue"]})


def stage_seed(recipe: config.Recipe, number: int) -> int:
    """The seed of stage ``number`` of every arm: arms see the same data order and draws, so they compare pairwise."""
    return int(np.random.SeedSequence((recipe.seed, number)).generate_state(1)[0])


def common_parts(
    recipe: config.Recipe,
    store: VideoStore,
    folder: Path,
    group: ProcessGroup,
    stop_requested: Callable[[], bool],
) -> dict[str, Any]:
    """Fields of a ``StageRun`` that do not depend on what is trained: the recipe's [run], names and checkpoints."""
    return {
        "recipe": config.recipe_to_toml(recipe),
        "names": [video.name for video in store.videos],
        "checkpoints": FolderCheckpointStore(folder, writes=group.rank == 0),
        "log_every": recipe.run.log_every,
        "checkpoint_seconds": recipe.run.checkpoint_minutes * 60,
        "checkpoint_steps": recipe.run.checkpoint_steps,
        "max_bad_steps": recipe.run.max_bad_steps,
        "group": group,
        "stop_requested": stop_requested,
    }


def warnings(group: ProcessGroup, possible_rank: int = 0) -> Sequence[Callback]:
    """Callbacks of rank 0 that warn in the log; see ``CollapseWarning`` for ``possible_rank``."""
    return [] if group.rank else [InputBoundHint(), CollapseWarning(possible_rank)]
