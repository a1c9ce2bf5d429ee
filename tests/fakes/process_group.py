"""A group of threads: members wait for each other at every call, as processes do."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import define, field
from torch import Tensor

from vimix.values.errors import VimixError

Result = TypeVar("Result")


@define(eq=False)
class FakeProcessGroup:
    """Implements ``vimix.ports.process_group.ProcessGroup`` for one of several threads."""

    rank: int
    size: int
    barrier: Barrier = field(repr=False)
    slots: list[Any] = field(factory=list, repr=False)
    """The value of each rank in the current call. All ranks share this list and the barrier."""

    def _all(self, mine: Any) -> list[Any]:
        self.slots[self.rank] = mine
        self.barrier.wait()
        found = list(self.slots)
        self.barrier.wait()
        return found

    def all_gather(self, rows: Tensor) -> Tensor:
        return torch.cat(self._all(rows.detach()))

    def all_gather_ragged(self, rows: Tensor) -> Tensor:
        return torch.cat([part for part in self._all(rows.detach()) if len(part)])

    def permute_rows(self, rows: Tensor, order: np.ndarray) -> Tensor:
        return self.all_gather(rows)[order.reshape(self.size, -1)[self.rank]]

    def any(self, flag: Tensor) -> Tensor:
        return torch.stack(self._all(flag)).any()

    def wait(self) -> None:
        self._all(None)

    def max(self, step: int, wish: int) -> int:
        found = self._all((step, wish))
        if len({step for step, _ in found}) > 1:
            raise VimixError(f"the members stand at the steps {[step for step, _ in found]}")
        return max(wish for _, wish in found)


def in_threads(size: int, work: Callable[[FakeProcessGroup], Result]) -> list[Result]:
    """What each of ``size`` members returns. An error of one ends all and is raised."""
    barrier = Barrier(size, timeout=60)
    slots: list[Any] = [None] * size
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(FakeProcessGroup(rank, size, barrier, slots))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
