"""The loop that every stage runs, and how it stops and goes on."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from attrs import define, field, frozen
from torch import Tensor

from vimix.app.learner import StepOutcome
from vimix.app.steps import Step
from vimix.app.waiting import WaitingTime
from vimix.domain.schedule.rates import step_decay, warmed_up
from vimix.ports.checkpoints import CheckpointStore
from vimix.ports.clips import TrainingClips
from vimix.ports.metrics import MetricsSink
from vimix.ports.network import Optimiser
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality


class Trainee(Protocol):
    """What the loop asks of a learner, contrastive or supervised."""

    @property
    def modality(self) -> Modality:
        """What it sees."""
        ...

    @property
    def optimiser(self) -> Optimiser:
        """Whose learning rate the loop sets."""
        ...

    @property
    def gauges(self) -> Mapping[str, float]:
        """What a row of metrics says beside the outcome of its steps."""
        ...

    def state_dict(self) -> Mapping[str, Mapping[str, Any]]:
        """The parts of a checkpoint."""
        ...

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on as if it had never stopped."""
        ...


@frozen
class TrainSettings:
    """Length and learning rate of a stage, and how often it reports."""

    epochs: int
    rate: float
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    warmup_steps: int = 0
    seed: int = 0
    log_every: int = 10
    """Steps between two rows of metrics."""
    checkpoint_seconds: float = 600.0


@frozen(eq=False)
class StageRun:
    """One stage, ready to train: its step, its data, its places to write to."""

    learner: Trainee
    step: Step
    clips: TrainingClips
    settings: TrainSettings
    metrics: MetricsSink
    checkpoints: CheckpointStore
    recipe: str
    about: dict[str, str | int | float] = field(factory=dict)
    clock: Callable[[], float] = time.monotonic


def train(run: StageRun) -> Checkpoint:
    """Train to the end of the stage from where its last checkpoint stands (or from the start); return the final one."""
    learner, settings = run.learner, run.settings
    done = _resume(run)
    meter, saved_at = _Meter(run.clock), run.clock()
    waiting = WaitingTime(run.clock)
    for epoch in range(done // run.clips.steps, settings.epochs):
        rate = step_decay(settings.rate, epoch, settings.milestones, settings.decay)
        for batch in waiting.through(run.clips.batches(epoch, first=done % run.clips.steps)):
            learner.optimiser.set_learning_rate(warmed_up(rate, done, settings.warmup_steps))
            outcome = run.step(batch, np.random.default_rng((settings.seed, done)))
            done += 1
            meter.add(outcome, len(batch))
            if done % settings.log_every and done < settings.epochs * run.clips.steps:
                continue
            row = {**meter.row(epoch, rate), **learner.gauges, "data_time": waiting.share()}
            run.metrics.record(done, _checked(row, run, done))
            meter = _Meter(run.clock)
            if run.clock() - saved_at > settings.checkpoint_seconds:  # only where a row ends: none is torn by a resume
                run.checkpoints.save(_checkpoint(run, done))
                saved_at = run.clock()
    final = _checkpoint(run, done)
    run.checkpoints.save(final)
    run.metrics.close()
    return final


def steps_done(checkpoint: Checkpoint) -> int:
    """Training steps behind a checkpoint."""
    return int(checkpoint.parts["progress"]["steps"])


def _resume(run: StageRun) -> int:
    last = run.checkpoints.last()
    if last is None:
        return 0
    run.learner.resume(last.parts)
    done = steps_done(last)
    run.metrics.rewind(done)
    return done


def _checkpoint(run: StageRun, done: int) -> Checkpoint:
    parts = {**run.learner.state_dict(), "progress": {"steps": done, "seed": run.settings.seed}}
    return Checkpoint(modality=run.learner.modality, recipe=run.recipe, parts=parts, about={**run.about, "steps": done})


def _checked(row: dict[str, float], run: StageRun, step: int) -> dict[str, float]:
    if math.isfinite(row["loss"]):
        return row
    raise VimixError(
        f"the loss of {run.learner.modality} became {row['loss']} at step {step}: the last checkpoint is from before. "
        "Lower optim.lr, add optim.warmup_steps, or set run.precision = 'float32'"
    )


@define
class _Meter:
    """Means over the steps since the last row, kept on the device until a row is read."""

    clock: Callable[[], float]
    loss: Tensor | float = 0.0
    accuracy: Tensor | float = 0.0
    weight: float = 0.0
    steps: int = 0
    clips: int = 0
    since: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.since = self.clock()

    def add(self, outcome: StepOutcome, clips: int) -> None:
        self.loss = self.loss + outcome.loss
        self.accuracy = self.accuracy + outcome.accuracy
        self.weight += outcome.weight
        self.steps += 1
        self.clips += clips

    def row(self, epoch: int, rate: float) -> dict[str, float]:
        """The means by name."""
        return {
            "epoch": float(epoch),
            "loss": float(self.loss) / self.steps,
            "pretext_accuracy": float(self.accuracy) / self.steps,
            "weight": self.weight / self.steps,
            "learning_rate": rate,
            "clips_per_second": self.clips / max(self.clock() - self.since, 1e-9),
        }
