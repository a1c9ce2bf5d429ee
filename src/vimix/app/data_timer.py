"""How much of a training's time goes by waiting for data."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class DataTimer:
    """Time spent in ``next`` of what is iterated, as a share of all time since the last reading."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._waited, self._since = clock, 0.0, clock()

    def through(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that each makes one wait added up."""
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
        """0 to 1; the next reading starts from here."""
        now = self._clock()
        share = self._waited / (now - self._since) if now > self._since else 0.0
        self._waited, self._since = 0.0, now
        return share
