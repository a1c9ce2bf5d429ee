"""The loop: learning rates, rows, checkpoints, and that a resumed run is the unbroken one."""

import copy
import os
import signal

import numpy as np
import pytest
import torch
from attrs import evolve

import vimix
from tests.fakes.checkpoints import FakeCheckpointStore
from tests.fakes.clips import FakeTrainingClips
from tests.fakes.metrics import FakeMetrics
from tests.unit.test_training import learner
from vimix.app.stage_run import StageRun
from vimix.app.steps import pretrain_step
from vimix.app.train import run_stages, train
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.schedule.stages import Stage
from vimix.ports.callback import Callback
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.commands.signals import stop_on_signals
from vimix_adapters.encoders.contrastive_network import TorchOptimiser
from vimix_adapters.wiring.stage_runs import seeded

CLIPS = FakeTrainingClips(videos=12, batch=4, frames=4, size=6)


def stage_run(**changes) -> StageRun:
    made = learner()
    parts = {
        "name": "test",
        "epochs": 4,
        "rate": 1e-2,
        "milestones": (2,),
        "log_every": 2,
        "checkpoint_seconds": 1e9,
        "learner": made,
        "step": pretrain_step(made, vimix.Mixup()),
        "clips": CLIPS,
        "metrics": FakeMetrics(),
        "checkpoints": FakeCheckpointStore(),
        "recipe": "",
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


def test_every_epoch_is_trained_and_has_its_rows() -> None:
    run = stage_run()
    final = train(run)
    rows = run.metrics.rows
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-2] * 3 + [1e-3] * 3)
    assert final.about["steps"] == 12
    assert len(run.learner.queue) == 16
    assert rows[-1]["queue_filled"] == 16


def test_rows_show_the_rate_of_their_last_step_warm_up_included() -> None:
    run = stage_run(epochs=2, milestones=(1,), warmup_steps=4, log_every=1)
    train(run)
    expected = [1e-2 / 4, 1e-2 / 2, 1e-2 * 3 / 4, 1e-3, 1e-3, 1e-3]
    assert [row["learning_rate"] for row in run.metrics.rows] == pytest.approx(expected)


@pytest.mark.slow
def test_a_network_that_can_learn_does() -> None:
    made = evolve(learner(momentum=0.9), queue=vimix.NegativeQueue(4, 5))
    step = pretrain_step(made, vimix.NoMix())
    run = stage_run(learner=made, step=step, epochs=60, milestones=(), log_every=30)
    train(run)
    assert run.metrics.rows[-1]["loss"] < run.metrics.rows[0]["loss"] / 3
    assert run.metrics.rows[-1]["pretext_accuracy"] > 0.8


class FakeKnn(Callback):
    """Evaluates the network at the ends of some epochs, and keeps every row it is called with."""

    def __init__(self, learner, every: int) -> None:
        self._learner, self._every = learner, every
        self.rows: list[dict[str, float]] = []

    def measures_after(self, epoch: int) -> bool:
        return epoch % self._every == 0 or epoch == 4

    def measure(self) -> dict[str, float]:
        return {"knn_accuracy": float(self._learner.query.features(torch.ones(2, 3, 4, 6, 6)).sum())}

    def on_row(self, step, row) -> None:
        self.rows.append({"step": step, **row})


def watched_run(every: int, **changes) -> StageRun:
    run = stage_run(**changes)
    return evolve(run, callbacks=[FakeKnn(run.learner, every)])


@pytest.mark.slow
@pytest.mark.parametrize(("every", "expected"), [(1, [3, 6, 9, 12]), (2, [6, 12]), (3, [9, 12]), (9, [12])])
def test_a_callback_measures_at_the_ends_of_epochs_and_changes_nothing(every, expected) -> None:
    plain, watched = stage_run(), watched_run(every)
    one, two = train(plain), train(watched)
    assert same(dict(one.parts), dict(two.parts))
    rows = watched.metrics.rows
    assert [row["step"] for row in rows if "knn_accuracy" in row] == expected
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})
    assert sum(row["loss"] for row in rows if row["step"] == 12) > 0
    assert watched.callbacks[0].rows == rows


class Interrupting(FakeMetrics):
    """Ends the process after a row, as a kill would: what is not in the checkpoint is lost."""

    def __init__(self, at: int, rows: list[dict[str, float]]) -> None:
        super().__init__()
        self.rows, self._at = rows, at

    def record(self, step, values) -> None:
        super().record(step, values)
        if step == self._at:
            raise Killed


def test_a_stage_resumed_where_an_epoch_ended_has_the_row_that_was_measured_there() -> None:
    whole = watched_run(1)
    train(whole)
    clock = iter(range(10_000))
    broken = watched_run(1, metrics=Interrupting(6, []), clock=lambda: float(next(clock)), checkpoint_seconds=0)
    with pytest.raises(Killed):
        train(broken)
    resumed = watched_run(1, metrics=Interrupting(-1, broken.metrics.rows), checkpoints=broken.checkpoints)
    train(resumed)
    assert timeless(resumed.metrics.rows) == timeless(whole.metrics.rows)


class Killed(Exception):
    pass


def ending_at(step: int, inner, end):
    """A step that does something else when it has been made ``step`` times."""
    made = 0

    def run(batch, rng):
        nonlocal made
        made += 1
        if made == step:
            end()
        return inner(batch, rng)

    return run


def killed() -> None:
    raise Killed


@pytest.mark.parametrize("at", [2, 3, 6, 8, 11])
@pytest.mark.parametrize("every", [0, 1, 3])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(at, every) -> None:
    """Rows under way at the checkpoint come out whole; no row comes twice, with no checkpoint (0) either."""
    settings = {"log_every": 4, "checkpoint_seconds": 600.0, "checkpoint_steps": every}
    unbroken = stage_run(**settings)
    expected = train(unbroken)
    broken = stage_run(**settings)
    with pytest.raises(Killed):
        train(evolve(broken, step=ending_at(at, broken.step, killed)))
    resumed = stage_run(**settings, metrics=broken.metrics, checkpoints=broken.checkpoints)
    final = train(resumed)
    assert same(dict(final.parts), dict(expected.parts))
    assert timeless(resumed.metrics.rows) == timeless(unbroken.metrics.rows)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_asked_to_stop_it_finishes_the_step_saves_and_exits_with_a_code_that_says_so(number, code, capsys) -> None:
    unbroken, broken = stage_run(), stage_run()
    expected = train(unbroken)
    before = signal.getsignal(number)
    asking = ending_at(5, broken.step, lambda: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as end, stop_on_signals() as requests, requests.deferred():
        train(evolve(broken, step=asking, stop_requested=requests))
    assert end.value.code == code
    assert f"stopped by {number.name}: saved at step 5" in capsys.readouterr().err
    assert signal.getsignal(number) == before
    resumed = stage_run(metrics=broken.metrics, checkpoints=broken.checkpoints)
    assert same(dict(train(resumed).parts), dict(expected.parts))
    assert timeless(resumed.metrics.rows) == timeless(unbroken.metrics.rows)


def test_outside_of_training_a_request_ends_the_run_at_once() -> None:
    with pytest.raises(SystemExit) as end, stop_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 75


def test_ctrl_c_a_second_time_does_not_wait() -> None:
    with stop_on_signals() as requests, requests.deferred():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_checkpoint_of_another_run_is_refused_with_what_was_expected_and_found() -> None:
    run = stage_run()
    train(run)
    longer = FakeTrainingClips(videos=24, batch=4, frames=4, size=6)
    with pytest.raises(
        VimixError, match=r"seed 0, steps per epoch 3; expected one of rgb with seed 0, steps per epoch 6"
    ):
        train(stage_run(clips=longer, checkpoints=run.checkpoints))


def test_a_finished_stage_is_not_trained_again() -> None:
    run = stage_run()
    first = train(run)
    again = stage_run(checkpoints=run.checkpoints, metrics=FakeMetrics())
    assert same(dict(train(again).parts), dict(first.parts))
    assert again.metrics.rows == []


def test_a_diverged_loss_stops_the_run_with_the_way_out_and_the_videos() -> None:
    names = [f"clip{number}.mp4" for number in range(12)]
    run = stage_run(epochs=9, rate=float("nan"), log_every=1, checkpoint_steps=1, names=names)
    with pytest.raises(
        VimixError, match=r"10 training steps in a row.*optim\.lr.*last one: clip\d+\.mp4, clip"
    ) as stop:
        train(run)
    assert str(stop.value).count("clip") == 4
    assert run.checkpoints.saved == 1, "of the first step; none while steps are bad"
    assert run.metrics.rows[-1]["bad_steps"] == 9
    assert "loss" in run.metrics.rows[0]
    assert "loss" not in run.metrics.rows[-1]
    assert run.metrics.closed, "a progress bar would go on, and hide the cursor"


def with_bad_clips(inner, bad: set[int]):
    """A step whose clips hold what is no number at some of the times it is made."""
    made = -1

    def run(batch, rng):
        nonlocal made
        made += 1
        if made not in bad:
            return inner(batch, rng)
        views = {modality: tuple(view * torch.nan for view in views) for modality, views in batch.views.items()}
        return inner(evolve(batch, views=views), rng)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "SGD"])
@pytest.mark.parametrize("at", [0, 4])
def test_a_bad_step_changes_nothing_at_all_and_is_counted(at, name, fused) -> None:
    """Parameters, moments, key encoder, queue, BatchNorm statistics: all as if the step had never been made."""
    run = stage_run(log_every=1)
    own = {"momentum": 0.9} if name == "SGD" else {}
    optimiser = getattr(torch.optim, name)(run.learner.query.parameters(), lr=1e-2, fused=fused, **own)
    run = evolve(run, learner=evolve(run.learner, optimiser=TorchOptimiser(optimiser)))
    states = []

    def step(batch, rng):
        states.append(copy.deepcopy(dict(run.learner.state_dict())))
        return inner(batch, rng)

    inner = with_bad_clips(pretrain_step(run.learner, vimix.Mixup()), {at})
    train(evolve(run, step=step))
    assert same({**states[at], "optimiser": ""}, {**states[at + 1], "optimiser": ""})
    before, after = states[at]["optimiser"]["state"], states[at + 1]["optimiser"]["state"]
    assert all(same(before[p], after[p]) for p in before)
    assert not same(states[at + 1], states[at + 2])
    assert [row["bad_steps"] for row in run.metrics.rows] == [0.0] * at + [1.0] * (12 - at)
    assert all(np.isfinite(list(row.values())).all() for row in run.metrics.rows)
    assert [row["step"] for row in run.metrics.rows if "effective_rank" not in row] == [at + 1]


def test_momentum_is_torchs_own_although_the_first_step_was_bad() -> None:
    ours, theirs = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    optimiser = TorchOptimiser(torch.optim.SGD([ours], lr=0.1, momentum=0.9, fused=True))
    plain = torch.optim.SGD([theirs], lr=0.1, momentum=0.9)
    assert bool(optimiser.step((ours * torch.nan).sum()))
    for _ in range(3):
        assert not bool(optimiser.step(ours.square().sum()))
        plain.zero_grad()
        theirs.square().sum().backward()
        plain.step()
    torch.testing.assert_close(ours, theirs)


def test_bad_steps_now_and_then_do_not_stop_a_run_but_so_many_in_a_row_do() -> None:
    settings = {"log_every": 6, "max_bad_steps": 3}
    run = stage_run(**settings)
    train(evolve(run, step=with_bad_clips(run.step, {0, 1, 3, 4, 6, 7, 9, 10})))
    assert run.metrics.rows[-1]["bad_steps"] == 8
    run = stage_run(**settings)
    with pytest.raises(VimixError, match="3 training steps in a row"):
        train(evolve(run, step=with_bad_clips(run.step, {4, 5, 6})))  # over the end of a row


def test_rows_show_how_the_embeddings_lie() -> None:
    run = stage_run()
    train(run)
    row = run.metrics.rows[-1]
    assert 0 < row["alignment"] < 4
    assert row["uniformity"] < 0
    assert 1 <= row["effective_rank"] <= 4
    assert -2 < row["margin"] < 2
    assert (row["queue_filled"], row["queue_age"]) == (16, 4)


def test_a_plan_hands_the_newest_checkpoints_on() -> None:
    plain = Stage(name="", modality=RGB, epochs=1, rate=1e-3, policy=vimix.NoMix())
    pretrain = [evolve(plain, name=f"p{m}", modality=m) for m in (RGB, FLOW)]
    cmmc = [
        evolve(plain, name=f"c{a}", modality=a, partner=b, layers=RandomLayer()) for a, b in ((RGB, FLOW), (FLOW, RGB))
    ]
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


def test_dropout_is_drawn_from_the_number_of_the_step_and_the_rank() -> None:
    """A resumed run drops what the unbroken one does; torch's own generator and the step's stream are left alone."""
    drawn = []

    def step(batch, rng):
        drawn.append((torch.rand(3).tolist(), rng.random()))

    cpu, before = torch.device("cpu"), torch.get_rng_state()
    for rank, number in ((0, 5), (0, 6), (0, 5), (1, 5)):
        seeded(step, cpu, rank)(None, np.random.default_rng((1, number)))
    assert torch.equal(torch.get_rng_state(), before)
    first, another, again, other_rank = drawn
    assert first == again
    assert first[0] != another[0]
    assert first[0] != other_rank[0]
    assert first[1] == other_rank[1] == np.random.default_rng((1, 5)).random()


class SlowClips(FakeTrainingClips):
    """Each batch makes one wait for three ticks of a clock that the step moves by one."""

    def batches(self, epoch, first=0):
        for batch in super().batches(epoch, first):
            SlowClips.now += 3
            yield batch

    now = 0.0


def test_a_row_shows_the_share_of_time_spent_waiting_for_data() -> None:
    made = learner()
    inner = pretrain_step(made, vimix.Mixup())

    def step(batch, rng):
        SlowClips.now += 1
        return inner(batch, rng)

    slow = SlowClips(videos=12, batch=4, frames=4, size=6)
    run = stage_run(learner=made, step=step, clips=slow, clock=lambda: SlowClips.now)
    train(run)
    assert [row["data_time"] for row in run.metrics.rows] == pytest.approx([0.75] * 6)
