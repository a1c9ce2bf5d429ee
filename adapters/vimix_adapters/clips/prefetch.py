"""Making the next batch while the last one is used, in a thread of this process."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread
from typing import TypeVar

import torch

Item = TypeVar("Item")

_NAME = "prefetched"


def prefetched(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The items in order, each made while the one before it is used.

    What goes wrong in making an item is raised where that item would have come. Closing the generator waits for the
    item that is being made and takes no further one. The thread computes with one core, whatever the caller does: a
    kernel that is split may round otherwise.
    """
    thread = ThreadPoolExecutor(1, _NAME, initializer=torch.set_num_threads, initargs=(1,))
    try:
        coming = thread.submit(_next_of, items)
        while found := coming.result():
            coming = thread.submit(_next_of, items)
            yield found[0]
    finally:
        # The garbage collector may close a forgotten one anywhere, also in its thread, which must not wait for itself.
        thread.shutdown(wait=not current_thread().name.startswith(_NAME))


def _next_of(items: Iterator[Item]) -> tuple[Item] | None:
    """The next item in a tuple, None after the last: a StopIteration would not come through a future."""
    for item in items:
        return (item,)
    return None
