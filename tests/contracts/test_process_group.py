"""What every group must do: one process alone, the fake's threads, and real processes."""

import numpy as np
import pytest
import torch

from tests.distributed.endings import exercises
from tests.distributed.ranks import two_together
from tests.fakes.process_group import in_threads
from vimix.app.parallel import SingleProcess
from vimix.values.errors import VimixError


@pytest.fixture(scope="module", params=["alone", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def found(request):
    """Results of all ranks."""
    if request.param == "alone":
        return [exercises(SingleProcess(), None)]
    if request.param == "threads":
        return in_threads(3, lambda group: exercises(group, None))
    return [one["exercises"] for one in two_together()]


def rows(size: int) -> torch.Tensor:
    return torch.cat([10 * rank + torch.arange(3) for rank in range(size)])


def test_every_rank_gets_the_rows_of_all_in_order_of_rank(found) -> None:
    assert [one["rank"] for one in found] == list(range(len(found)))
    for one in found:
        assert torch.equal(one["gathered"], rows(len(found)))


def test_ranks_may_have_different_numbers_of_rows_or_none(found) -> None:
    expected = [float(rank) for rank in range(len(found)) for _ in range(2 * rank)]
    for one in found:
        assert one["ragged"].flatten().tolist() == np.repeat(expected, 4).tolist()


def test_rows_of_a_permuted_batch_arrive_where_they_are_asked_for(found) -> None:
    size = len(found)
    permuted = rows(size)[np.random.default_rng(0).permutation(3 * size)]
    for one in found:
        own = permuted[3 * one["rank"] : 3 * one["rank"] + 3]
        assert torch.equal(one["permuted"], torch.stack([own, -own]).T.float())
        assert not one["permuted"].requires_grad


def test_a_flag_of_one_rank_holds_for_all_and_the_greatest_wish_counts(found) -> None:
    for one in found:
        assert one["any"] == (len(found) > 1)
        assert not one["none"]
        assert one["max"] == len(found) - 1


def test_all_wait_for_the_last(found) -> None:
    assert all(one["waited"] for one in found)


def test_ranks_at_different_steps_are_refused() -> None:
    with pytest.raises(VimixError, match="stand at the steps"):
        in_threads(2, lambda group: group.max(group.rank, 0))
