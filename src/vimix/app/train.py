"""The loop that every stage runs, how it stops and resumes, and stages in order."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

import numpy as np
from attrs import define, field

from vimix.app.meter import DataTimer, Meter
from vimix.app.stage_run import StageRun
from vimix.domain.contrast.snapshot import Snapshot
from vimix.domain.schedule.stages import Stage, step_decay, warmed_up
from vimix.ports.callback import Callback
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import Interrupted, VimixError
from vimix.values.modality import Modality

Execute = Callable[[int, Stage, Mapping[Modality, Checkpoint]], Checkpoint]
"""Trains stage number n, starting from the newest checkpoints by modality; returns its final checkpoint."""


def run_stages(stages: Sequence[Stage], execute: Execute) -> dict[Modality, Checkpoint]:
    """Run the stages in order, each from the newest weights of its encoders (section 5 of the method).

    Returns the newest checkpoint of each modality.
    """
    newest: dict[Modality, Checkpoint] = {}
    for number, stage in enumerate(stages):
        final = execute(number, stage, dict(newest))
        newest |= {modality: final.of(modality) for modality in stage.trained}
    return newest


def train(run: StageRun) -> Checkpoint:
    """Train to the end of the stage, from its last checkpoint or from the start; return the final checkpoint.

    Raises Interrupted after saving if the run was asked to stop, VimixError if too many steps in a row are bad or the
    last checkpoint belongs to another run.
    """
    with closing(run.metrics):
        return _trained(run)


def _trained(run: StageRun) -> Checkpoint:
    learner, clips = run.learner, run.clips
    done, meter = _resume(run)
    pauses, waiting, end = _Pauses(run), DataTimer(run.clock), run.epochs * clips.steps
    for epoch in range(done // clips.steps, run.epochs):
        decayed = step_decay(run.rate, epoch, run.milestones, run.decay)
        for batch in waiting.through(clips.batches(epoch, first=done % clips.steps)):
            rate = warmed_up(decayed, done, run.warmup_steps)
            learner.optimiser.set_learning_rate(rate)
            before = Snapshot(learner.mutable_state)
            outcome = run.step(batch, np.random.default_rng((run.seed, done)))
            before.restore_where(outcome.skipped)
            done += 1
            meter.add(outcome, batch)
            measuring = _measuring(run, done)
            if done % run.log_every == 0 or done == end or measuring:
                means = meter.row(outcome, learner.diagnostics)
                row = {"epoch": float(epoch), "learning_rate": rate, **means, "data_time": waiting.share()}
                for callback in measuring:
                    row.update(callback.measure())
                _record(run, done, row)
                meter.next()
            if done < end:
                pauses.after(done, meter)
    final = _checkpoint(run, done, meter)
    run.checkpoints.save(final)
    return final


def _measuring(run: StageRun, done: int) -> Sequence[Callback]:
    """The callbacks that measure after step ``done``: some do at the ends of some epochs."""
    epoch, rest = divmod(done, run.clips.steps)
    return [] if rest else [callback for callback in run.callbacks if callback.measures_after(epoch)]


def _record(run: StageRun, done: int, row: Mapping[str, float]) -> None:
    run.metrics.record(done, row)
    for callback in run.callbacks:
        callback.on_row(done, row)


def _resume(run: StageRun) -> tuple[int, Meter]:
    """Restore the last checkpoint, if there is one; return the steps done and the meter of the row under way."""
    meter = Meter(max_bad_steps=run.max_bad_steps, names=run.names, group=run.group, clock=run.clock)
    last = run.checkpoints.last()
    done = 0 if last is None else last.progress.steps
    run.group.max(done, 0)
    if last is not None:
        _require_same_stage(run, last)
    run.metrics.rewind(done)  # a run that was killed before its first checkpoint has left rows too
    if last is not None:
        run.learner.resume(last.parts)
        if "meter" in last.parts["progress"]:
            meter.load_state_dict(last.parts["progress"]["meter"])
    return done, meter


def _require_same_stage(run: StageRun, last: Checkpoint) -> None:
    """Raise VimixError unless the checkpoint was made by a run like this one."""
    expected = {"seed": run.seed, "steps per epoch": run.clips.steps}
    found = {"seed": last.progress.seed, "steps per epoch": last.progress.steps_per_epoch}
    if last.modality != run.learner.modality or found != expected:
        raise VimixError(
            f"the last checkpoint of the stage is of {last.modality} with {_listed(found)}; expected one of "
            f"{run.learner.modality} with {_listed(expected)}: go on with the same data, batch and number of "
            "processes, or begin another run"
        )
    last.progress.require_origin(run.origin, run.name)


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _checkpoint(run: StageRun, done: int, meter: Meter) -> Checkpoint:
    progress = {"steps": done, "seed": run.seed, "origin": dict(run.origin), "meter": meter.state_dict()}
    length = {"epochs": run.epochs, "steps_per_epoch": run.clips.steps}
    return Checkpoint(
        modality=run.learner.modality,
        recipe=run.recipe,
        parts={**run.learner.state_dict(), "progress": progress},
        about={"stage": run.name, **length, **run.about, "steps": done},
    )


CONTINUE, SAVE, STOP = 0, 1, 2
"""Wishes of a process after a step; the group acts on the greatest wish of its ranks."""


@define
class _Pauses:
    """Saves checkpoints between two steps, and ends the run early."""

    run: StageRun
    saved_at: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.saved_at = self.run.clock()

    def after(self, done: int, meter: Meter) -> None:
        """Save if a checkpoint is due. Raises Interrupted, after saving, if any rank was asked to stop."""
        wish = self.run.group.max(done, self._wish(done))
        if wish == CONTINUE:
            return
        meter.count_bad_steps()
        if wish == SAVE and meter.streak:
            return  # the parameters may be the cause of the bad steps: keep the checkpoint from before
        self.run.checkpoints.save(_checkpoint(self.run, done, meter))
        self.saved_at = self.run.clock()
        if wish == STOP:
            raise Interrupted(f"saved at step {done}")

    def _wish(self, done: int) -> int:
        if self.run.stop_requested():
            return STOP
        by_steps = self.run.checkpoint_steps and done % self.run.checkpoint_steps == 0
        by_time = self.run.clock() - self.saved_at > self.run.checkpoint_seconds
        return SAVE if by_steps or by_time else CONTINUE
