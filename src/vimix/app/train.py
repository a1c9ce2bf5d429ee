"""The loop that every stage runs, and how it stops and goes on."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from attrs import define, field, frozen
from torch import Tensor

from vimix.app.data_timer import DataTimer
from vimix.app.learner import StepOutcome
from vimix.app.meter import Meter
from vimix.app.parallel import SingleProcess
from vimix.app.provenance import Provenance, require_provenance
from vimix.app.steps import Step
from vimix.domain.contrast.snapshot import Snapshot
from vimix.domain.schedule.rates import step_decay, warmed_up
from vimix.ports.checkpoints import CheckpointStore
from vimix.ports.clips import TrainingClips
from vimix.ports.metrics import MetricsSink
from vimix.ports.network import Optimiser
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import Interrupted, VimixError
from vimix.values.modality import Modality


class Trainable(Protocol):
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
    def mutable_state(self) -> Iterable[Tensor]:
        """What a step changes in place before it is known to be a good one."""
        ...

    def diagnostics(self, last: StepOutcome) -> Mapping[str, float]:
        """What a row of metrics says beside the means over its steps, seen at its last step."""
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
    watch_every: int = 0
    """Epochs between two looks at ``StageRun.watch``; 0: none."""
    checkpoint_steps: int = 0
    """Steps between two checkpoints; 0: by time alone."""
    max_bad_steps: int = 10
    """In a row: then the run stops."""


def _never() -> bool:
    return False


@frozen(eq=False)
class StageRun:
    """One stage, ready to train: its step, its data, its places to write to."""

    learner: Trainable
    step: Step
    clips: TrainingClips
    settings: TrainSettings
    metrics: MetricsSink
    checkpoints: CheckpointStore
    recipe: str
    about: dict[str, str | int | float] = field(factory=dict)
    origin: Provenance = field(factory=dict)
    """What it is made from, for the run that goes on."""
    names: Sequence[str] = ()
    """Of the store's videos, for messages."""
    group: ProcessGroup = field(factory=SingleProcess)
    stop_requested: Callable[[], bool] = _never
    clock: Callable[[], float] = time.monotonic
    watch: Callable[[], Mapping[str, float]] | None = None
    """What is measured beside training, at the end of an epoch; it must change nothing."""


def train(run: StageRun) -> Checkpoint:
    """Train to the end of the stage from where its last checkpoint stands (or from the start); return the final one.

    Raises Interrupted once it was asked to stop, after saving; VimixError if too many steps in a row are bad.
    """
    learner, settings, clips = run.learner, run.settings, run.clips
    done, meter = _resume(run)
    pauses, waiting, end = _Pauses(run), DataTimer(run.clock), settings.epochs * clips.steps
    for epoch in range(done // clips.steps, settings.epochs):
        decayed = step_decay(settings.rate, epoch, settings.milestones, settings.decay)
        for batch in waiting.through(clips.batches(epoch, first=done % clips.steps)):
            rate = warmed_up(decayed, done, settings.warmup_steps)
            learner.optimiser.set_learning_rate(rate)
            before = Snapshot(learner.mutable_state)
            outcome = run.step(batch, np.random.default_rng((settings.seed, done)))
            before.restore_where(outcome.skipped)
            done += 1
            meter.add(outcome, batch)
            due = _watch_due(run, done)
            if done % settings.log_every == 0 or done == end or due:
                row = {**meter.row(outcome, learner.diagnostics), "data_time": waiting.share()}
                seen = run.watch() if due and run.watch else {}
                run.metrics.record(done, {"epoch": float(epoch), "learning_rate": rate, **row, **seen})
                meter.next()
            if done < end:
                pauses.after(done, meter)
    final = _checkpoint(run, done, meter)
    run.checkpoints.save(final)
    run.metrics.close()
    return final


def _watch_due(run: StageRun, done: int) -> bool:
    """Whether ``done`` steps end an epoch after which the watch is read: every few, and the last one."""
    epochs, rest = divmod(done, run.clips.steps)
    every = run.settings.watch_every
    return every > 0 and not rest and (epochs % every == 0 or epochs == run.settings.epochs)


def _resume(run: StageRun) -> tuple[int, Meter]:
    meter = Meter(max_bad_steps=run.settings.max_bad_steps, names=run.names, group=run.group, clock=run.clock)
    last = run.checkpoints.last()
    done = 0 if last is None else last.progress.steps
    run.group.max(done, 0)
    if last is not None:
        _require_same_stage(run, last)
    run.metrics.rewind(done)  # killed before its first checkpoint, a run leaves rows too
    if last is not None:
        run.learner.resume(last.parts)
        if "meter" in last.parts["progress"]:
            meter.load_state_dict(last.parts["progress"]["meter"])
    return done, meter


def _require_same_stage(run: StageRun, last: Checkpoint) -> None:
    """Raise VimixError unless the checkpoint was made by a run like this one."""
    expected = {"seed": run.settings.seed, "steps per epoch": run.about.get("steps_per_epoch", 0)}
    found = {"seed": last.progress.seed, "steps per epoch": last.progress.steps_per_epoch}
    if last.modality != run.learner.modality or found != expected:
        raise VimixError(
            f"the last checkpoint of the stage is of {last.modality} with {_listed(found)}; expected one of "
            f"{run.learner.modality} with {_listed(expected)}: go on with the same data, batch and number of "
            "processes, or begin another run"
        )
    require_provenance(last.progress.origin, run.origin, str(run.about.get("stage", "the stage")))


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _checkpoint(run: StageRun, done: int, meter: Meter) -> Checkpoint:
    origin = dict(run.origin)
    progress = {"steps": done, "seed": run.settings.seed, "origin": origin, "meter": meter.state_dict()}
    parts = {**run.learner.state_dict(), "progress": progress}
    return Checkpoint(modality=run.learner.modality, recipe=run.recipe, parts=parts, about={**run.about, "steps": done})


GO_ON, SAVE, STOP = 0, 1, 2
"""What a process wishes after a step; the group does what the greatest wish says."""


@define
class _Pauses:
    """When a checkpoint is due between two steps, and when the run ends early."""

    run: StageRun
    saved_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.saved_at = self.run.clock()

    def after(self, done: int, meter: Meter) -> None:
        """Save if it is time to. Raises Interrupted, having saved, if any member was asked to stop."""
        wish = self.run.group.max(done, self._wish(done))
        if wish == GO_ON:
            return
        meter.look()
        if wish == SAVE and meter.streak:
            return  # the parameters themselves may be beyond saving: keep those from before
        self.run.checkpoints.save(_checkpoint(self.run, done, meter))
        self.saved_at = self.run.clock()
        if wish == STOP:
            self.run.metrics.close()
            raise Interrupted(f"saved at step {done}")

    def _wish(self, done: int) -> int:
        settings = self.run.settings
        if self.run.stop_requested():
            return STOP
        by_steps = settings.checkpoint_steps and done % settings.checkpoint_steps == 0
        by_time = self.run.clock() - self.saved_at > settings.checkpoint_seconds
        return SAVE if by_steps or by_time else GO_ON
