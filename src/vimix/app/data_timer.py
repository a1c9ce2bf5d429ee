"""The share of training time that is spent waiting for data."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class DataTimer:
    """Measures the time spent in ``next`` of an iterator, as a share of the time since the last reading."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._waited, self._since = clock, 0.0, clock()

    def through(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and add up the time that each of them takes to arrive."""
        iterator = iter(items)
        while True:
            begun = self._clock()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._waited += self._clock() - begun
            yield item

    def share(self) -> float:
        """The share since the last reading, 0 to 1; starts the next reading."""
        now = self._clock()
        share = self._waited / (now - self._since) if now > self._since else 0.0
        self._waited, self._since = 0.0, now
        return share
