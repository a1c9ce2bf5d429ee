"""The loop: learning rates, rows, checkpoints, and that a resumed run is the unbroken one."""

import numpy as np
import pytest
import torch

import vimix
from tests.fakes.checkpoints import FakeCheckpointStore
from tests.fakes.clips import FakeTrainingClips
from tests.fakes.metrics import FakeMetrics
from tests.unit.test_training import learner
from vimix.app.plan import run_stages
from vimix.app.steps import pretrain_step
from vimix.app.train import StageRun, TrainSettings, train
from vimix.domain.schedule.stages import CmmcStage, PretrainStage
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB

CLIPS = FakeTrainingClips(videos=12, batch=4, frames=4, size=6)


def stage_run(**changes) -> StageRun:
    made = learner()
    settings = TrainSettings(epochs=4, rate=1e-2, milestones=(2,), log_every=2, checkpoint_seconds=1e9)
    parts = {
        "learner": made,
        "step": pretrain_step(made, vimix.Mixup()),
        "clips": CLIPS,
        "settings": settings,
        "metrics": FakeMetrics(),
        "checkpoints": FakeCheckpointStore(),
        "recipe": "",
        "about": {"stage": "test"},
    }
    return StageRun(**{**parts, **changes})


def timeless(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    clocked = ("clips_per_second", "data_time")
    return [{name: value for name, value in row.items() if name not in clocked} for row in rows]


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if hasattr(one, "keys"):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_every_epoch_is_trained_and_rows_tell_of_it() -> None:
    run = stage_run()
    final = train(run)
    rows = run.metrics.rows
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-2] * 3 + [1e-3] * 3)
    assert final.about["steps"] == 12
    assert len(run.learner.queue) == 16
    assert rows[-1]["queue_filled"] == 16


def test_a_network_that_can_learn_does() -> None:
    made = learner(momentum=0.9)
    object.__setattr__(made, "queue", vimix.NegativeQueue(4, 5))
    settings = TrainSettings(epochs=60, rate=1e-2, log_every=30)
    run = stage_run(learner=made, step=pretrain_step(made, vimix.NoMix()), settings=settings)
    train(run)
    assert run.metrics.rows[-1]["loss"] < run.metrics.rows[0]["loss"] / 3
    assert run.metrics.rows[-1]["pretext_accuracy"] > 0.8


class Killed(Exception):
    pass


class Interrupting(FakeMetrics):
    """Ends the process after a row, as a kill would: what is not in the checkpoint is lost."""

    def __init__(self, at: int, rows: list[dict[str, float]]) -> None:
        super().__init__()
        self.rows, self._at = rows, at

    def record(self, step, values) -> None:
        super().record(step, values)
        if step == self._at:
            raise Killed


@pytest.mark.parametrize("at", [4, 6, 10])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(at) -> None:
    unbroken = stage_run()
    expected = train(unbroken)
    clock = iter(range(10_000))
    rows: list[dict[str, float]] = []
    settings = TrainSettings(epochs=4, rate=1e-2, milestones=(2,), log_every=2, checkpoint_seconds=1)
    broken = stage_run(metrics=Interrupting(at, rows), settings=settings, clock=lambda: float(next(clock)))
    with pytest.raises(Killed):
        train(broken)
    assert broken.checkpoints.saved >= 1
    resumed = stage_run(metrics=Interrupting(-1, rows), checkpoints=broken.checkpoints)
    final = train(resumed)
    assert same(dict(final.parts), dict(expected.parts))
    assert timeless(resumed.metrics.rows) == timeless(unbroken.metrics.rows)


def test_a_finished_stage_is_not_trained_again() -> None:
    run = stage_run()
    first = train(run)
    again = stage_run(checkpoints=run.checkpoints, metrics=FakeMetrics())
    assert same(dict(train(again).parts), dict(first.parts))
    assert again.metrics.rows == []


def test_a_diverged_loss_stops_the_run_with_the_way_out() -> None:
    run = stage_run(settings=TrainSettings(epochs=4, rate=float("nan"), log_every=1))
    with pytest.raises(VimixError, match=r"loss of rgb became nan.*optim\.lr"):
        train(run)
    assert run.checkpoints.saved == 0


def test_a_plan_hands_the_newest_checkpoints_on() -> None:
    pretrain = [PretrainStage(f"p{m}", m, 1, (), vimix.NoMix()) for m in (RGB, FLOW)]
    cmmc = [CmmcStage(f"c{a}", a, b, 1, (), vimix.CrossModalCutMix(), None) for a, b in ((RGB, FLOW), (FLOW, RGB))]
    seen = []

    def execute(number, stage, newest):
        seen.append((stage.name, {m: c.about["number"] for m, c in newest.items()}))
        return Checkpoint(stage.modality, "", {}, {"number": number})

    last = run_stages([*pretrain, *cmmc], execute)
    assert seen == [("prgb", {}), ("pflow", {RGB: 0}), ("crgb", {RGB: 0, FLOW: 1}), ("cflow", {RGB: 2, FLOW: 1})]
    assert {m: c.about["number"] for m, c in last.items()} == {RGB: 2, FLOW: 3}


def test_steps_draw_from_their_own_number_whatever_came_before() -> None:
    """Resuming is skipping: step n's generator is (seed, n)'s."""
    drawn = []
    run = stage_run()
    inner = run.step

    def spy(batch, rng):
        drawn.append(rng.bit_generator.state["state"]["state"])
        return inner(batch, rng)

    train(stage_run(learner=run.learner, step=spy))
    assert drawn == [np.random.default_rng((0, n)).bit_generator.state["state"]["state"] for n in range(12)]


class SlowClips(FakeTrainingClips):
    """Each batch makes one wait for three ticks of a clock that the step moves by one."""

    def batches(self, epoch, first=0):
        for batch in super().batches(epoch, first):
            SlowClips.now += 3
            yield batch

    now = 0.0


def test_a_row_tells_the_share_of_time_spent_waiting_for_data() -> None:
    made = learner()
    inner = pretrain_step(made, vimix.Mixup())

    def step(batch, rng):
        SlowClips.now += 1
        return inner(batch, rng)

    slow = SlowClips(videos=12, batch=4, frames=4, size=6)
    run = stage_run(learner=made, step=step, clips=slow, clock=lambda: SlowClips.now)
    train(run)
    assert [row["data_time"] for row in run.metrics.rows] == pytest.approx([0.75] * 6)
