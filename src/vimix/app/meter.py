"""Means over the training steps since the last row of metrics, the number of bad steps, and the wait for data."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from attrs import define, field
from torch import Tensor

from vimix.app.learner import StepOutcome
from vimix.app.parallel import SINGLE_PROCESS
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import ClipBatch
from vimix.values.errors import VimixError

Item = TypeVar("Item")


@define(kw_only=True)
class Meter:
    """Sums over the steps since the last row. They stay on the device until a row is due: reading waits for the device.

    A bad step was skipped because its loss or gradient was not finite; it is counted, and enters no mean. Bad steps are
    noticed when a row or a checkpoint is due. VimixError is raised then, naming the videos, if ``max_bad_steps`` in a
    row were bad; a skipped step changes nothing, so none of them has done harm.
    """

    max_bad_steps: int
    names: Sequence[str] = ()
    """Names of the store's videos, for messages."""
    group: ProcessGroup = SINGLE_PROCESS
    clock: Callable[[], float] = time.monotonic
    bad: int = 0
    """Bad steps of the stage so far."""
    streak: int = 0
    """Bad steps in a row, up to the last step."""
    _sums: Tensor | None = None
    """[3] float64 on the device: loss and accuracy summed over the good steps, and the number of good steps."""
    _weight: float = 0.0
    _steps: int = 0
    _clips: int = 0
    _since: float = field(init=False)
    _unread: list[tuple[Tensor, Tensor]] = field(factory=list)
    """Flag and videos of each step whose flag has not been read: the flag says whether the step was bad."""

    def __attrs_post_init__(self) -> None:
        self._since = self.clock()

    def add(self, outcome: StepOutcome, batch: ClipBatch) -> None:
        """Add one step. Nothing is read from the device."""
        measured = torch.stack(
            [outcome.loss.double(), outcome.accuracy.double(), torch.ones_like(outcome.loss).double()]
        )
        measured = measured.masked_fill(outcome.skipped, 0.0)
        self._sums = measured if self._sums is None else self._sums.to(measured.device) + measured
        self._weight += outcome.weight
        self._steps += 1
        self._clips += self.group.size * len(batch)
        self._unread.append((outcome.skipped, batch.videos))

    def row(self, last: StepOutcome, diagnostics: Callable[[StepOutcome], Mapping[str, float]]) -> dict[str, float]:
        """Means over all ranks by name, with the diagnostics of the last step if that was a good one."""
        assert self._sums is not None
        self.count_bad_steps()
        loss, accuracy, good = self._mean_over_ranks(self._sums).tolist()
        row = {"loss": loss / good, "pretext_accuracy": accuracy / good} if good else {}
        if not self.streak:
            row |= self._means({**diagnostics(last)})
        row["weight"] = self._weight / self._steps
        row["bad_steps"] = float(self.bad)
        row["clips_per_second"] = self._clips / max(self.clock() - self._since, 1e-9)
        return {name: value for name, value in row.items() if math.isfinite(value)}

    def next(self) -> None:
        """Start the sums of the next row."""
        self._sums, self._weight, self._steps, self._clips, self._since = None, 0.0, 0, 0, self.clock()

    def state_dict(self) -> dict[str, Any]:
        """The sums of the row under way: with them a resumed run writes the row that an unbroken one writes."""
        self.count_bad_steps()
        sums = torch.zeros(3, dtype=torch.float64) if self._sums is None else self._mean_over_ranks(self._sums)
        return {
            "bad": self.bad,
            "streak": self.streak,
            "sums": sums,
            "weight": self._weight,
            "steps": self._steps,
            "clips": self._clips,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.bad, self.streak = int(state["bad"]), int(state["streak"])
        self._sums, self._weight = state["sums"], float(state["weight"])
        self._steps, self._clips = int(state["steps"]), int(state["clips"])

    def count_bad_steps(self) -> None:
        """Read the flags of the steps since the last call. Raises VimixError for too many bad steps in a row."""
        if not self._unread:
            return
        unread, self._unread = self._unread, []
        for bad, (_, videos) in zip(torch.stack([flag for flag, _ in unread]).tolist(), unread, strict=True):
            self.bad += bad
            self.streak = self.streak + 1 if bad else 0
            if self.streak >= self.max_bad_steps:
                raise VimixError(self._complaint(self.group.all_gather(videos).tolist()))

    def _complaint(self, videos: Sequence[int]) -> str:
        names = ", ".join(self.names[video] if video < len(self.names) else f"number {video}" for video in videos)
        return (
            f"{self.streak} training steps in a row had a loss or gradient that is not finite (run.max_bad_steps = "
            f"{self.max_bad_steps}); they changed nothing, and the checkpoints are from before. Lower optim.lr, add "
            f"optim.warmup_steps, or set run.precision = 'float32'. The videos of the last one: {names}"
        )

    def _mean_over_ranks(self, values: Tensor) -> Tensor:
        """The mean [n] over the group, on the CPU."""
        return self.group.all_gather(values.cpu()[None]).mean(dim=0)

    def _means(self, values: dict[str, float]) -> dict[str, float]:
        if not values:
            return {}
        shared = self._mean_over_ranks(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, shared.tolist(), strict=True))


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
