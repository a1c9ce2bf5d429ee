"""Prefetching in a thread: the next batch is made while the current one is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread
from typing import TypeVar

import torch

Item = TypeVar("Item")

_NAME = "prefetched"


def prefetched(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Yield the items in order. Each is made in a thread while the one before it is used.

    An exception raised while an item is made is raised again when that item is due. Closing the generator waits for the
    item that is being made and takes no further one. The thread computes with one core whatever the caller's setting,
    because a kernel that is split over threads may round differently.
    """
    thread = ThreadPoolExecutor(1, _NAME, initializer=torch.set_num_threads, initargs=(1,))
    try:
        coming = thread.submit(_next_of, items)
        while made := coming.result():
            coming = thread.submit(_next_of, items)
            yield made[0]
    finally:
        # The garbage collector may close this generator in any thread, also in its own, which must not wait for itself.
        thread.shutdown(wait=not current_thread().name.startswith(_NAME))


def _next_of(items: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item in a tuple, or None after the last. A future cannot pass on a StopIteration."""
    for item in items:
        return (item,)
    return None
