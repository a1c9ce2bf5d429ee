"""What every team must do: one process alone, the fake's threads, and real processes."""

import numpy as np
import pytest
import torch

from tests.distributed.endings import exercises
from tests.distributed.members import two_together
from tests.fakes.team import in_threads
from vimix.app.team import Alone
from vimix.values.errors import VimixError


@pytest.fixture(scope="module", params=["alone", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def found(request):
    """What the members got."""
    if request.param == "alone":
        return [exercises(Alone(), None)]
    if request.param == "threads":
        return in_threads(3, lambda team: exercises(team, None))
    return [one["exercises"] for one in two_together()]


def rows(size: int) -> torch.Tensor:
    return torch.cat([10 * rank + torch.arange(3) for rank in range(size)])


def test_everybody_gets_everybodys_rows_in_order_of_rank(found) -> None:
    assert [one["rank"] for one in found] == list(range(len(found)))
    for one in found:
        assert torch.equal(one["gathered"], rows(len(found)))


def test_members_may_bring_differing_numbers_of_rows_or_none(found) -> None:
    expected = [float(rank) for rank in range(len(found)) for _ in range(2 * rank)]
    for one in found:
        assert one["collected"].flatten().tolist() == np.repeat(expected, 4).tolist()


def test_rows_of_a_permuted_batch_arrive_where_they_are_asked_for(found) -> None:
    size = len(found)
    permuted = rows(size)[np.random.default_rng(0).permutation(3 * size)]
    for one in found:
        own = permuted[3 * one["rank"] : 3 * one["rank"] + 3]
        assert torch.equal(one["exchanged"], torch.stack([own, -own]).T.float())
        assert not one["exchanged"].requires_grad


def test_a_flag_of_one_member_is_everybodys_and_the_greatest_wish_counts(found) -> None:
    for one in found:
        assert one["either"] == (len(found) > 1)
        assert not one["neither"]
        assert one["agreed"] == len(found) - 1


def test_members_that_stand_at_different_steps_are_no_team() -> None:
    with pytest.raises(VimixError, match="stand at the steps"):
        in_threads(2, lambda team: team.agree(team.rank, 0))
