"""Several positives: the loss against naive NumPy loops, closed forms and both peers' losses; and what finders find."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vimix
from tests.unit.test_contrast import mixed_plan, seeds, unit
from vimix.domain.contrast.candidates import OwnKeyAndQueue
from vimix.domain.contrast.finders import Instances, Labels, NearestAcrossViews, NearestInPartner, OwnKey, Positives
from vimix.domain.contrast.losses import cross_view_loss, pretext_accuracy


def found(batch: int, queued: int, seed: int) -> torch.Tensor:
    """Own keys and a random third of the other candidates, bool [B, B+K]."""
    random = torch.from_numpy(np.random.default_rng(seed).random((batch, batch + queued)) < 0.3)
    return random | torch.eye(batch, batch + queued, dtype=torch.bool)


def naive_loss(q, keys, queue, plan, positives, temperature, excluded) -> float:
    """Section 9 of the method read aloud, one query and one candidate at a time, in float64."""
    losses = []
    candidates = np.concatenate([keys, queue]).astype(np.float64)
    for i, query in enumerate(q.astype(np.float64)):
        scores = [math.exp(float(candidate @ query) / temperature) for candidate in candidates]
        kept = [j for j in range(len(scores)) if not excluded[i, j]]
        total = sum(scores[j] for j in kept)
        own, other = (
            -math.log(sum(scores[j] for j in kept if positives[row, j]) / total) for row in (i, plan.partner[i])
        )
        losses.append(plan.weight[i] * own + (1 - plan.weight[i]) * other)
    return float(np.mean(losses))


@given(batch=st.integers(1, 6), queued=st.integers(0, 7), seed=seeds)
def test_the_loss_over_several_positives_is_the_naive_one(batch, queued, seed) -> None:
    q, keys, queue = unit(batch, 5, seed), unit(batch, 5, seed + 1), unit(queued, 5, seed + 2)
    plan, positives = mixed_plan(batch, seed), found(batch, queued, seed)
    targets = torch.eye(batch, dtype=torch.bool) | torch.eye(batch, dtype=torch.bool)[torch.from_numpy(plan.partner)]
    excluded = torch.from_numpy(np.random.default_rng(seed + 1).random((batch, batch + queued)) < 0.3)
    excluded[:, :batch] &= ~targets
    loss = vimix.mixed_multi_positive_nce(q, keys, queue, plan, positives, temperature=0.2, excluded=excluded)
    naive = naive_loss(q.numpy(), keys.numpy(), queue.numpy(), plan, positives.numpy(), 0.2, excluded.numpy())
    assert float(loss) == pytest.approx(naive, rel=1e-4, abs=1e-6)


@given(batch=st.integers(1, 9), queued=st.integers(0, 9), seed=seeds)
def test_one_positive_gives_todays_loss_and_gradient_to_the_last_bit(batch, queued, seed) -> None:
    keys, queue, plan = unit(batch, 8, seed + 1), unit(queued, 8, seed + 2), mixed_plan(batch, seed)
    one, two = (unit(batch, 8, seed).requires_grad_() for _ in range(2))
    excluded = torch.zeros(batch, batch + queued, dtype=torch.bool)
    excluded[:, batch + 1 :] = True
    own = torch.eye(batch, batch + queued, dtype=torch.bool)
    several = vimix.mixed_multi_positive_nce(one, keys, queue, plan, own, excluded=excluded)
    single = vimix.mixed_info_nce(two, keys, queue, plan, excluded=excluded)
    assert torch.equal(several, single)
    several.backward(), single.backward()
    assert torch.equal(one.grad, two.grad)


def test_equal_candidates_cost_the_logarithm_of_their_number_less_that_of_the_positives() -> None:
    keys = torch.nn.functional.normalize(torch.ones(4, 3), dim=1)
    positives = torch.eye(4, 16, dtype=torch.bool)
    positives[:, 10:13] = True
    loss = vimix.mixed_multi_positive_nce(keys, keys, keys.repeat(3, 1), mixed_plan(4, 0), positives)
    assert float(loss) == pytest.approx(math.log(16) - math.log(4), rel=1e-5)


def test_all_candidates_being_positive_costs_nothing_and_has_no_gradient() -> None:
    q = unit(3, 4, 0).requires_grad_()
    everything = torch.ones(3, 8, dtype=torch.bool)
    loss = vimix.mixed_multi_positive_nce(q, unit(3, 4, 1), unit(5, 4, 2), mixed_plan(3, 0), everything)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert float(q.grad.abs().max()) < 1e-5


def test_the_ranks_of_a_shared_batch_have_the_loss_of_the_whole_batch() -> None:
    q, keys, queue, plan, positives = unit(6, 4, 0), unit(6, 4, 1), unit(5, 4, 2), mixed_plan(6, 3), found(6, 5, 7)
    parts = [
        vimix.mixed_multi_positive_nce(q[a : a + 3], keys, queue, plan.rows(a, a + 3), positives, first=a)
        for a in (0, 3)
    ]
    whole = vimix.mixed_multi_positive_nce(q, keys, queue, plan, positives)
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


@pytest.mark.parametrize(("marked", "barred"), [(False, False), (True, True)])
def test_an_instance_without_a_positive_or_with_excluded_ones_only_is_refused(marked, barred) -> None:
    positives, excluded = torch.eye(2, 5, dtype=torch.bool) & marked, torch.eye(2, 5, dtype=torch.bool) & barred
    with pytest.raises(ValueError, match="every instance needs a positive"):
        vimix.mixed_multi_positive_nce(
            unit(2, 4, 0), unit(2, 4, 1), unit(3, 4, 2), mixed_plan(2, 0), positives, excluded=excluded
        )


def test_the_loss_is_that_of_coclrs_code() -> None:
    """An independent reading of it: logits of the own key and the queue, -log of the positives' share of the softmax.

    Entries of the same recording are positives, and so are the 2 nearest others by the second view.
    """
    q, keys, queue = unit(4, 6, 0), unit(4, 6, 1), unit(9, 6, 2)
    second, second_queue = unit(4, 6, 3), unit(9, 6, 4)
    recordings, queued = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 5, 6, 7, 1, 8, 9, 0, 10])
    losses = []
    for i in range(4):
        shares = torch.cat([(q[i] @ keys[i])[None], queue @ q[i]]).div(0.07).softmax(0)
        ranked = sorted(range(9), key=lambda row: -float(second[i] @ second_queue[row]))
        siblings = [row for row in range(9) if queued[row] == recordings[i]]
        nearest = [row for row in ranked if row not in siblings][:2]
        losses.append(-math.log(float(shares[0]) + sum(float(shares[1 + row]) for row in {*siblings, *nearest})))
    positives = NearestInPartner(k=2).find(seen(recordings, queued, second @ second_queue.T))
    excluded = OwnKeyAndQueue().excluded(recordings, queued, torch.arange(4)) & ~positives
    excluded[:, :4] = ~torch.eye(4, dtype=torch.bool)
    plan = vimix.MixPlan.unmixed(4)
    loss = vimix.mixed_multi_positive_nce(q, keys, queue, plan, positives, temperature=0.07, excluded=excluded)
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("views", [2, 3])
def test_the_loss_across_views_is_that_of_crossclrs_code(views) -> None:
    """An independent reading of it: own key, queue and context; the mean of -log softmax over own key and nearest."""
    q, keys, queues = ([unit(n, 6, 10 * v + n) for v in range(views)] for n in (4, 5, 9))
    keys = [rows[:4] for rows in keys]
    expected = 0.0
    for v in range(views):
        for u in (u for u in range(views) if u != v):
            of_pair = []
            for i in range(4):
                mine, theirs = queues[v] @ q[v][i], queues[u] @ q[u][i]
                logs = torch.cat([(q[v][i] @ keys[v][i])[None], mine, mine * theirs]).div(0.1).log_softmax(0)
                nearest = int(theirs.argmax())
                of_pair.append(-float(logs[0] + logs[1 + nearest] + logs[1 + 9 + nearest]) / 3)
            expected += np.mean(of_pair) / (views - 1)
    ids, queued = torch.arange(4), 4 + torch.arange(9)
    positives = [NearestAcrossViews(k=1).find(seen(ids, queued, q[v] @ queues[v].T)) for v in range(views)]
    cosines = [q[v] @ torch.cat([keys[v], queues[v]]).T for v in range(views)]
    excluded = OwnKeyAndQueue().excluded(ids, queued, ids)
    loss = cross_view_loss(cosines, positives, [excluded] * views, 0.1, 4)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def seen(sources, queued, similarities, labels=None, queue_labels=None, full: bool = True) -> Instances:
    """A batch and a queue; without labels all are unknown."""
    unknown, queue_unknown = torch.full_like(sources, -1), torch.full_like(queued, -1)
    return Instances(
        sources=sources,
        queue_sources=queued,
        labels=unknown if labels is None else labels,
        queue_labels=queue_unknown if queue_labels is None else queue_labels,
        queue_ages=torch.arange(len(queued)),
        full=torch.tensor(full),
        similarities=similarities,
    )


def instances(full: bool = True) -> Instances:
    """Three instances of recordings 0, 1, 1 and classes a, b, unknown; a queue of four rows."""
    return seen(
        torch.tensor([0, 1, 1]),
        torch.tensor([0, 2, 1, 3]),
        torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.5, 0.6, 0.9, 0.1], [0.0, 0.1, 0.2, 0.9]]),
        torch.tensor([7, 8, -1]),
        torch.tensor([7, 7, -1, 8]),
        full,
    )


OWN = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("finder", "in_batch", "in_queue"),
    [
        (OwnKey(), OWN, [[0, 0, 0, 0]] * 3),
        (NearestInPartner(k=1), [[1, 0, 0], [0, 1, 1], [0, 1, 1]], [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]]),
        (NearestInPartner(k=1, same_recording=False), OWN, [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]]),
        (NearestInPartner(k=4, same_recording=False), OWN, [[0, 1, 1, 1], [1, 1, 0, 1], [1, 1, 0, 1]]),
        (NearestAcrossViews(k=1), OWN, [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        (NearestAcrossViews(k=2), OWN, [[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]]),
        (Labels(), OWN, [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
    ],
)
def test_finders_find_what_they_say(finder, in_batch, in_queue) -> None:
    marked = finder.find(instances())
    assert marked[:, :3].int().tolist() == in_batch
    assert marked[:, 3:].int().tolist() == in_queue


def test_nothing_is_mined_before_the_queue_is_full() -> None:
    """Entries of the same recording are known to be positives, they are not mined."""
    assert torch.equal(NearestAcrossViews(k=2).find(instances(full=False)), instances().own)
    early = NearestInPartner(k=1).find(instances(full=False))
    assert torch.equal(early, instances().own | instances().same_recording)


def test_a_mixed_query_has_the_positives_of_both_instances() -> None:
    marked = found(4, 3, 0)
    plan = vimix.MixPlan(np.array([2, 3, 0, 1]), np.full(4, 0.5, dtype=np.float32))
    positives = Positives.of(marked, plan.rows(2, 4), first=2)
    assert torch.equal(positives.own, marked[2:])
    assert torch.equal(positives.partner, marked[:2])
    assert torch.equal(positives.either, marked[2:] | marked[:2])


def test_pretext_accuracy_counts_queries_whose_best_candidate_is_a_positive() -> None:
    logits = torch.tensor([[3.0, 1, 2], [3, 1, 2], [1, 2, 3]])
    own = torch.tensor([[True, False, False], [False, True, False], [False, False, True]])
    assert float(pretext_accuracy(logits, own)) == pytest.approx(2 / 3)
    more = own | torch.tensor([[True, False, False]])
    assert float(pretext_accuracy(logits, more)) == 1
