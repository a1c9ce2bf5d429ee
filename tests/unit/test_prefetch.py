"""Items made ahead in a thread: their order, their errors, and how it ends."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from threading import enumerate as threads

import pytest
import torch

from vimix_adapters.clips.prefetch import prefetched

PATIENCE = 20
"""Seconds after which something that should happen at once is held to have failed."""


def counted(made: list[int], until: int = 5, fails_at: int = -1) -> Iterator[int]:
    for number in range(until):
        if number == fails_at:
            raise ValueError(f"number {number} cannot be made")
        made.append(number)
        yield number


def own_threads() -> list[str]:
    return [thread.name for thread in threads() if thread.name.startswith("prefetched")]


def test_items_come_in_order_and_once() -> None:
    assert list(prefetched(counted([]))) == [0, 1, 2, 3, 4]
    assert list(prefetched(iter(()))) == []
    assert not own_threads()


def test_the_next_item_is_made_while_the_last_one_is_used() -> None:
    made = {number: Event() for number in range(3)}

    def items() -> Iterator[int]:
        for number, event in made.items():
            event.set()
            yield number

    ahead = prefetched(items())
    assert next(ahead) == 0
    assert made[1].wait(PATIENCE), "nobody has asked for it yet"
    assert not made[2].is_set(), "one ahead, not two"
    ahead.close()


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    ahead = prefetched(counted([], fails_at=2))
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ValueError, match="number 2 cannot be made"):
        next(ahead)
    assert not own_threads()


def test_closing_waits_for_the_item_that_is_made_and_takes_no_further_one() -> None:
    go_on, made = Event(), []

    def items() -> Iterator[int]:
        yield 0
        go_on.wait(PATIENCE)
        made.append(1)
        yield 1
        made.append(2)

    ahead = prefetched(items())
    next(ahead)
    go_on.set()
    ahead.close()
    assert made == [1]
    assert not own_threads()


@pytest.mark.slow
def test_an_unclosed_generator_ends_in_whatever_thread_collects_it() -> None:
    """It may be the generator's own thread, which cannot wait for itself."""
    collected = Event()

    def items() -> Iterator[int]:
        yield 0
        gc.collect()
        collected.set()
        yield 1

    ring: list[object] = [prefetched(items())]
    ring.append(ring)
    gc.disable()
    try:
        next(ring[0])
        del ring
        assert collected.wait(PATIENCE)
    finally:
        gc.enable()
    gc.collect()


def test_the_thread_computes_with_one_core_and_the_caller_with_as_many_as_before() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert list(prefetched(torch.get_num_threads() for _ in range(2))) == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_process_that_ends_in_the_middle_of_an_epoch_does_not_hang(workers: int) -> None:
    program = f"""
from tests.unit.test_loader import loader
batches = loader(workers={workers}).batches(0)
next(batches)
raise SystemExit(7)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], timeout=60, check=False, capture_output=True
    )
    assert (ended.returncode, ended.stderr) == (7, b"")
