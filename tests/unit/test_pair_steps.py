"""Objectives in which both views are queries: NT-Xent and MoCo's symmetric loss, against naive versions."""

import copy
import math

import numpy as np
import pytest
import torch
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import vimix
from tests.unit.test_contrast import seeds, unit
from tests.unit.test_training import batch, learner, with_sgd
from vimix.app.steps import simclr_step, symmetric_step
from vimix.domain.contrast.candidates import WithoutSiblings
from vimix.domain.contrast.losses import nt_xent
from vimix.values.modality import RGB


def naive(one, two, temperature, excluded) -> float:
    """SimCLR's algorithm 1 read aloud: 2N views, each against the 2N - 1 others, in float64."""
    views = np.concatenate([one, two]).astype(np.float64)
    n, losses = len(one), []
    for i, view in enumerate(views):
        positive = (i + n) % (2 * n)
        others = [j for j in range(2 * n) if j != i and (j == positive or not excluded[i % n, j % n])]
        total = sum(math.exp(float(views[j] @ view) / temperature) for j in others)
        losses.append(-float(views[positive] @ view) / temperature + math.log(total))
    return float(np.mean(losses))


@given(size=st.integers(1, 6), seed=seeds)
def test_nt_xent_is_the_naive_one(size, seed) -> None:
    one, two = unit(size, 5, seed), unit(size, 5, seed + 1)
    excluded = torch.from_numpy(np.random.default_rng(seed).random((size, size)) < 0.3).fill_diagonal_(False)
    loss = nt_xent((one, two), (one, two), 0.2, excluded)
    assert float(loss) == pytest.approx(naive(one.numpy(), two.numpy(), 0.2, excluded.numpy()), rel=1e-4)


def test_nt_xent_has_its_closed_forms_and_does_not_care_which_view_is_first() -> None:
    one, two = unit(4, 6, 0), unit(4, 6, 1)
    same = torch.nn.functional.normalize(torch.ones(4, 3), dim=1)
    assert float(nt_xent((same, same), (same, same), 0.1)) == pytest.approx(math.log(7), rel=1e-5)
    apart = float(nt_xent((torch.eye(4), torch.eye(4)), (torch.eye(4), torch.eye(4)), 0.5))
    assert apart == pytest.approx(math.log(math.exp(2) + 6) - 2, rel=1e-5)
    torch.testing.assert_close(nt_xent((one, two), (one, two), 0.1), nt_xent((two, one), (two, one), 0.1))


def test_the_ranks_of_a_shared_batch_have_the_nt_xent_of_the_whole_batch() -> None:
    one, two = unit(6, 4, 0), unit(6, 4, 1)
    parts = [nt_xent((one[a : a + 3], two[a : a + 3]), (one, two), 0.1, first=a) for a in (0, 3)]
    torch.testing.assert_close(torch.stack(parts).mean(), nt_xent((one, two), (one, two), 0.1))


def test_a_simclr_step_trains_on_both_views_of_recordings_apart() -> None:
    """Loss and gradient from the naive loss; rows 0 and 1 are of one recording and no negatives of each other."""
    trained = evolve(with_sgd(learner(), rate=0.0), queue=vimix.NegativeQueue(0, 5), candidates=WithoutSiblings())
    clips, query = evolve(batch(), sources=torch.tensor([0, 0, 1, 2])), copy.deepcopy(trained.query)
    outcome = simclr_step(trained)(clips, np.random.default_rng(0))
    one, two = (query.embed(view) for view in clips.views[RGB])
    siblings = torch.zeros(4, 4, dtype=torch.bool)
    siblings[0, 1] = siblings[1, 0] = True
    expected = naive(one.detach().numpy(), two.detach().numpy(), 0.1, siblings.numpy())
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-5)
    nt_xent((one, two), (one, two), 0.1, siblings).backward()
    for ours, theirs in zip(trained.query.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_symmetric_step_is_the_mean_of_both_directions() -> None:
    """As MoCo v3's pseudocode has it: ctr(q1, k2) and ctr(q2, k1) over the keys of the batch, without its factors."""
    trained, clips = evolve(with_sgd(learner(), rate=0.0), queue=vimix.NegativeQueue(0, 5)), batch()
    query, key = copy.deepcopy(trained.query), copy.deepcopy(trained.key)
    outcome = symmetric_step(trained)(clips, np.random.default_rng(0))
    x1, x2 = clips.views[RGB]
    labels = torch.arange(4)
    directions = []
    for x, other in ((x1, x2), (x2, x1)):
        logits = query.embed(x) @ key.keys(other, torch.arange(4)).T / 0.1
        directions.append(torch.nn.functional.cross_entropy(logits, labels))
    expected = (directions[0] + directions[1]) / 2
    assert float(outcome.loss) == pytest.approx(float(expected.detach()), rel=1e-4)
    expected.backward()
    for ours, theirs in zip(trained.query.parameters(), query.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)
