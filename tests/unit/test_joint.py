"""Several views trained at once: plain at first, then each from the positives that the others find."""

import copy

import numpy as np
import pytest
import torch
from attrs import evolve

import vimix
from tests.fakes.clips import FakeTrainingClips
from tests.fakes.network import FakeNetwork
from tests.unit.test_train_loop import Interrupting, Killed, same, stage_run, timeless
from tests.unit.test_training import mining, numbered
from vimix.app.joint import JointLearner, joint_step
from vimix.app.learner import Learner
from vimix.app.stage_run import StageRun
from vimix.app.steps import mining_step
from vimix.app.train import train
from vimix.domain.contrast.candidates import BatchAndQueue, Candidates, OwnKeyAndQueue
from vimix.domain.contrast.finders import Finder, NearestAcrossViews, NearestInPartner, OwnKey
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters.encoders.contrastive_network import TorchOptimiser

CHANNELS = {RGB: 3, FLOW: 2}


def joint(
    candidates: Candidates | None = None, plain_steps: int = 0, rate: float = 0.05, finder: Finder | None = None
) -> JointLearner:
    """Two views with queues of eight rows, which two batches fill."""
    networks = {m: FakeNetwork(channels=n, seed=n) for m, n in CHANNELS.items()}
    parameters = [{"params": list(network.parameters())} for network in networks.values()]
    optimiser, finder = TorchOptimiser(torch.optim.SGD(parameters, lr=rate)), finder or NearestAcrossViews(k=1)
    views = {
        m: Learner(
            modality=m,
            query=network,
            key=copy.deepcopy(network),
            queue=vimix.NegativeQueue(8, 5),
            optimiser=optimiser,
            candidates=candidates or BatchAndQueue(),
            momentum=0.9,
            temperature=0.1,
            finder=finder,
        )
        for m, network in networks.items()
    }
    return JointLearner(views, optimiser, finder, plain_steps)


def two_views(seed: int, first: int) -> ClipBatch:
    """A batch with two clips of both modalities."""
    made = numbered(seed, first)
    second = torch.randn(4, 2, 4, 6, 6, generator=torch.Generator().manual_seed(100 + seed))
    return evolve(made, views={**made.views, FLOW: (made.views[FLOW][0], second)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plain_steps", "finder", "alone"),
    [(0, NearestAcrossViews(k=1), 2), (4, NearestAcrossViews(k=1), 4), (0, OwnKey(), 6)],
)
def test_each_view_learns_by_itself_until_the_queues_are_full_and_it_is_late_enough(plain_steps, finder, alone) -> None:
    """The plain loss is the sum of the public losses of the views; afterwards contexts are candidates too.

    Where no positives are looked for it stays plain.
    """
    learner, plain = joint(plain_steps=plain_steps, finder=finder), []
    step = joint_step(learner)
    for number in range(6):
        views, clips, rng = copy.deepcopy(learner.views), two_views(number, 4 * number), np.random.default_rng(number)
        expected = 0.0
        for m, view in views.items():
            z, keys = view.query.embed(clips.views[m][0]), view.keys(clips.views[m][1], rng)
            excluded = torch.zeros(4, 12, dtype=torch.bool)
            excluded[:, 4:] = view.queue.empty
            unmixed = vimix.MixPlan.unmixed(4)
            loss = vimix.mixed_info_nce(z, keys, view.queue.rows, unmixed, temperature=0.1, excluded=excluded)
            expected += float(loss.detach())
        outcome = step(clips, np.random.default_rng(number))
        plain.append(float(outcome.loss) == pytest.approx(expected, rel=1e-5))
    assert plain == [number < alone for number in range(6)]


def test_the_mined_step_is_that_of_crossclrs_code() -> None:
    """Loss and gradient of both encoders, from an independent reading: own key, queue, context."""
    learner = joint(OwnKeyAndQueue(), rate=0.0)
    step = joint_step(learner)
    for number in range(2):
        step(two_views(number, 4 * number), np.random.default_rng(number))
    views, clips, rng = copy.deepcopy(learner.views), two_views(2, 8), np.random.default_rng(2)
    z, keys, queues = {}, {}, {m: view.queue.rows for m, view in views.items()}
    for m, view in views.items():
        z[m], keys[m] = view.query.embed(clips.views[m][0]), view.keys(clips.views[m][1], rng)
    losses = []
    for v, u in ((RGB, FLOW), (FLOW, RGB)):
        mine, theirs = z[v] @ queues[v].T, z[u] @ queues[u].T
        logs = (torch.cat([(z[v] * keys[v]).sum(1, keepdim=True), mine, mine * theirs], dim=1) / 0.1).log_softmax(1)
        nearest = theirs.argmax(dim=1)
        rows = torch.arange(4)
        losses.append(-(logs[:, 0] + logs[rows, 1 + nearest] + logs[rows, 9 + nearest]).mean() / 3)
    sum(losses).backward()
    outcome = step(clips, np.random.default_rng(2))
    assert float(outcome.loss) == pytest.approx(float(sum(losses).detach()), rel=1e-5)
    for m, view in views.items():
        for ours, theirs in zip(learner.views[m].query.parameters(), view.query.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
    measured = learner.diagnostics(outcome)
    assert measured["positives"] == measured["rgb/positives"] == 1
    assert measured["margin"] == pytest.approx((measured["rgb/margin"] + measured["flow/margin"]) / 2)


def joint_run(**changes) -> StageRun:
    learner, clips = joint(plain_steps=4), FakeTrainingClips({RGB: 2, FLOW: 2}, videos=12, batch=4, frames=4, size=6)
    return stage_run(learner=learner, step=joint_step(learner), clips=clips, checkpoint_steps=1, **changes)


def mining_run(**changes) -> StageRun:
    learner, partner = mining(NearestInPartner(k=2, same_recording=False)), FakeNetwork(channels=2, seed=9)
    step = mining_step(learner, partner, FLOW, vimix.Mixup())
    clips = FakeTrainingClips({RGB: 2, FLOW: 1}, videos=12, batch=4, frames=4, size=6)
    return stage_run(learner=learner, step=step, clips=clips, checkpoint_steps=1, log_every=1, **changes)


@pytest.mark.slow
@pytest.mark.parametrize(("run", "ends"), [(joint_run, (2, 8)), (mining_run, (1, 5))])
def test_a_stage_that_was_killed_before_or_while_it_mined_goes_on_to_the_last_bit(run, ends) -> None:
    whole = run()
    final = train(whole)
    for at in ends:
        broken = run(metrics=Interrupting(at, []))
        with pytest.raises(Killed):
            train(broken)
        resumed = run(metrics=Interrupting(-1, broken.metrics.rows), checkpoints=broken.checkpoints)
        assert same(dict(train(resumed).parts), dict(final.parts))
        assert timeless(resumed.metrics.rows) == timeless(whole.metrics.rows)
    if run is mining_run:
        assert [row["positives"] > 0 for row in whole.metrics.rows] == [False, False] + [True] * 10


def test_a_joint_stage_leaves_both_encoders_and_queues_of_the_same_clips() -> None:
    whole = joint_run()
    final = train(whole)
    assert torch.equal(*(whole.learner.views[m].queue.row_sources for m in (RGB, FLOW)))
    assert final.modality == "rgb+flow"
    alone = final.of(FLOW)
    assert (alone.modality, alone.progress) == (FLOW, final.progress)
    assert alone.parts.keys() == {"query", "key", "queue", "progress"}
    assert same(dict(alone.parts["query"]), dict(whole.learner.views[FLOW].query.state_dict()))


def test_a_bad_clip_of_one_view_leaves_all_of_them_as_they_were() -> None:
    clips = FakeTrainingClips({RGB: 2, FLOW: 2}, videos=12, batch=4, frames=4, size=6)
    learner = joint()
    inner = joint_step(learner)

    def step(batch, rng):
        batch.views[FLOW][0][0, 0, 0, 0, 0] = torch.nan
        return inner(batch, rng)

    before = copy.deepcopy(learner.state_dict())
    train(stage_run(learner=learner, step=step, clips=clips, epochs=1, milestones=()))
    after = learner.state_dict()
    assert all(same(dict(before[part]), dict(after[part])) for part in before if part not in ("optimiser", "phase"))
