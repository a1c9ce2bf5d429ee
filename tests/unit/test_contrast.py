"""The queue, the candidates and the loss, each against a naive NumPy version, closed forms and invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vimix
from vimix.domain.contrast.candidates import BatchAndQueue, OwnKeyAndQueue, WithoutSiblings
from vimix.domain.contrast.momentum import ema_update

seeds = st.integers(0, 2**32 - 1)


def unit(rows: int, size: int, seed: int) -> torch.Tensor:
    vectors = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)


def mixed_plan(batch: int, seed: int) -> vimix.MixPlan:
    return vimix.Mixup().plan(batch=batch, grid=vimix.Grid((1, 1, 1, 1)), rng=np.random.default_rng(seed))


def naive_loss(q, keys, queue, plan, temperature, excluded) -> float:
    """Eq. 3 read aloud, one query at a time, in float64."""
    losses = []
    candidates = np.concatenate([keys, queue]).astype(np.float64)
    for i, query in enumerate(q.astype(np.float64)):
        scores = np.exp(candidates @ query / temperature)
        total = sum(score for j, score in enumerate(scores) if not excluded[i, j])
        own, other = scores[i] / total, scores[plan.partner[i]] / total
        losses.append(-plan.weight[i] * math.log(own) - (1 - plan.weight[i]) * math.log(other))
    return float(np.mean(losses))


@pytest.mark.slow
@given(batch=st.integers(1, 6), queued=st.integers(0, 7), seed=seeds, siblings=st.booleans())
def test_the_mixed_loss_is_the_naive_one(batch, queued, seed, siblings) -> None:
    q, keys, queue = unit(batch, 5, seed), unit(batch, 5, seed + 1), unit(queued, 5, seed + 2)
    plan = mixed_plan(batch, seed)
    rng = np.random.default_rng(seed)
    sources = [torch.from_numpy(rng.integers(0, 3, n)) for n in (batch, queued)]
    candidates = WithoutSiblings() if siblings else BatchAndQueue()
    excluded = candidates.excluded(*sources, torch.from_numpy(plan.partner))
    loss = vimix.mixed_info_nce(q, keys, queue, plan, temperature=0.2, excluded=excluded)
    naive = naive_loss(q.numpy(), keys.numpy(), queue.numpy(), plan, 0.2, excluded.numpy())
    assert float(loss) == pytest.approx(naive, rel=1e-4)


def test_equal_candidates_cost_the_logarithm_of_their_number() -> None:
    q = keys = torch.nn.functional.normalize(torch.ones(4, 3), dim=1)
    loss = vimix.mixed_info_nce(q, keys, keys.repeat(3, 1), mixed_plan(4, 0))
    assert float(loss) == pytest.approx(math.log(16), rel=1e-5)


def test_orthogonal_keys_have_the_closed_form() -> None:
    keys = torch.eye(4)
    loss = vimix.mixed_info_nce(keys, keys, torch.zeros(0, 4), vimix.MixPlan.unmixed(4), temperature=0.5)
    assert float(loss) == pytest.approx(math.log(math.exp(2) + 3) - 2, rel=1e-5)


def test_the_gradient_of_the_loss_is_the_numerical_one() -> None:
    q = torch.randn(3, 4, requires_grad=True)
    keys, queue, plan = unit(3, 4, 1), unit(5, 4, 2), mixed_plan(3, 0)
    vimix.mixed_info_nce(q, keys, queue, plan, temperature=0.5).backward()
    step = 1e-2
    for i, j in np.ndindex(3, 4):
        moved = torch.zeros(3, 4)
        moved[i, j] = step
        ends = [
            float(vimix.mixed_info_nce(q.detach() + s * moved, keys, queue, plan, temperature=0.5)) for s in (1, -1)
        ]
        assert float(q.grad[i, j]) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-3)


def test_weights_add_up_where_an_instance_is_its_own_partner() -> None:
    q, keys, queue = unit(3, 4, 0), unit(3, 4, 1), unit(5, 4, 2)
    own = vimix.MixPlan(np.arange(3), np.full(3, 0.3, dtype=np.float32))
    expected = vimix.mixed_info_nce(q, keys, queue, vimix.MixPlan.unmixed(3))
    torch.testing.assert_close(vimix.mixed_info_nce(q, keys, queue, own), expected)


def test_siblings_of_both_targets_are_masked_and_the_targets_are_not() -> None:
    sources, queued, partner = torch.tensor([7, 8, 7]), torch.tensor([8, 9, 7]), torch.tensor([1, 2, 0])
    excluded = WithoutSiblings().excluded(sources, queued, partner)
    # Row 0 (recording 7, mixed with row 1 of 8): row 2 is a sibling, and so are the queue's 8 and 7.
    assert excluded.tolist() == [
        [False, False, True, True, False, True],
        [True, False, False, True, False, True],
        [False, False, False, False, False, True],
    ]


def test_own_key_and_queue_is_mocos_loss() -> None:
    q, keys, queue = unit(4, 6, 0), unit(4, 6, 1), unit(9, 6, 2)
    plan = vimix.MixPlan.unmixed(4)
    excluded = OwnKeyAndQueue().excluded(torch.arange(4), torch.arange(9), torch.from_numpy(plan.partner))
    loss = vimix.mixed_info_nce(q, keys, queue, plan, temperature=0.1, excluded=excluded)
    positive = (q * keys).sum(1, keepdim=True)
    logits = torch.cat([positive, q @ queue.T], dim=1) / 0.1
    moco = torch.nn.functional.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(loss, moco)


def test_moco_as_published_can_leave_siblings_out_of_its_queue() -> None:
    sources, queue = torch.tensor([0, 1]), torch.tensor([1, 5, 0])
    excluded = OwnKeyAndQueue(WithoutSiblings()).excluded(sources, queue, torch.arange(2))
    assert excluded.tolist() == [[False, True, False, False, True], [True, False, True, False, False]]


@pytest.mark.slow
@given(capacity=st.integers(0, 9), batches=st.lists(st.integers(0, 12), max_size=8))
def test_the_queue_holds_the_newest_keys_whatever_the_batch(capacity, batches) -> None:
    queue, past = vimix.NegativeQueue(capacity, 1), []
    for size in batches:
        fresh = list(range(len(past), len(past) + size))
        queue.enqueue(torch.tensor(fresh, dtype=torch.float32).view(-1, 1), torch.tensor(fresh, dtype=torch.int64))
        past += fresh
        expected = sorted(past[max(len(past) - capacity, 0) :])
        assert sorted(queue.keys.flatten().tolist()) == expected
        assert queue.sources.tolist() == queue.keys.flatten().tolist()
        assert len(queue) == len(expected)


def filled_queue(batches: int = 3) -> vimix.NegativeQueue:
    """A queue of five rows with keys of flow too, and batches of two: key n is (n, n), flow's (-n, -n)."""
    queue = vimix.NegativeQueue(5, 2, partners=["flow"])
    for number in range(batches):
        ids = torch.arange(2 * number, 2 * number + 2)
        keys = ids[:, None].repeat(1, 2).float()
        queue.enqueue(keys, ids + 10, ids + 20, {"flow": -keys})
    return queue


def test_keys_of_two_modalities_lie_side_by_side_with_recordings_classes_and_ages() -> None:
    queue = filled_queue()
    assert queue.rows[:, 0].tolist() == [5, 1, 2, 3, 4]
    assert torch.equal(queue.partner_keys["flow"], -queue.rows)
    assert queue.row_sources.tolist() == [15, 11, 12, 13, 14]
    assert queue.row_labels.tolist() == [25, 21, 22, 23, 24]
    assert queue.row_ages.tolist() == [0, 4, 3, 2, 1]
    with pytest.raises(KeyError, match="flow"):
        queue.enqueue(torch.zeros(2, 2), torch.arange(2))


def test_a_queue_is_full_once_every_row_has_keys_of_all_its_modalities() -> None:
    assert [bool(filled_queue(batches).full) for batches in (0, 2, 3)] == [False, False, True]
    alone, paired = vimix.NegativeQueue(5, 2), vimix.NegativeQueue(5, 2, partners=["flow"])
    alone.enqueue(torch.zeros(5, 2), torch.arange(5))
    assert bool(alone.full)
    paired.load_state_dict(alone.state_dict())  # a stage without flow came before
    assert not paired.empty.any()
    assert not paired.full
    for number in range(5):
        assert not paired.full
        paired.enqueue(torch.zeros(1, 2), torch.tensor([number]), None, {"flow": torch.zeros(1, 2)})
    assert bool(paired.full)


def test_a_restored_queue_has_all_that_it_keeps_and_one_of_an_older_version_still_loads() -> None:
    one, two = filled_queue(), vimix.NegativeQueue(5, 2, partners=["flow"])
    two.load_state_dict(one.state_dict())
    assert all(map(torch.equal, one.state, two.state))
    with pytest.raises(ValueError, match=r"expected a queue of shape \(6, 2\), found \(5, 2\)"):
        vimix.NegativeQueue(6, 2).load_state_dict(one.state_dict())
    old = {name: value for name, value in one.state_dict().items() if name in ("keys", "sources", "pointer", "filled")}
    two.load_state_dict(old)
    assert two.row_labels.tolist() == [-1] * 5
    assert torch.equal(two.rows, one.rows)
    assert not two.full


def test_the_key_encoder_follows_by_one_minus_momentum() -> None:
    key, query = [torch.zeros(3), torch.ones(2, 2)], [torch.ones(3), torch.zeros(2, 2)]
    ema_update(key, query, 0.9)
    torch.testing.assert_close(key[0], torch.full((3,), 0.1))
    torch.testing.assert_close(key[1], torch.full((2, 2), 0.9))
    for _ in range(3):
        ema_update(key, query, 0.5)
    torch.testing.assert_close(key[0], torch.full((3,), 1 - 0.9 / 8))
