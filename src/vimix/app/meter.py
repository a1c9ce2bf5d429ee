"""What the steps since the last row of metrics amount to, and how many of them were bad."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import define, field
from torch import Tensor

from vimix.app.learner import StepOutcome
from vimix.app.parallel import SingleProcess
from vimix.ports.process_group import ProcessGroup
from vimix.values.clips import ClipBatch
from vimix.values.errors import VimixError


@define(kw_only=True)
class Meter:
    """Sums over the steps since the last row, kept on the device until they are read: reading waits for it.

    A bad step, one that was skipped because its loss or gradient was not finite, counts for nothing but itself.
    Raises VimixError, naming the videos, when ``max_bad_steps`` in a row were bad; it is found out when a row or a
    checkpoint is due, and until then skipped steps change nothing.
    """

    max_bad_steps: int
    names: Sequence[str] = ()
    """Of the store's videos, for messages."""
    group: ProcessGroup = field(factory=SingleProcess)
    clock: Callable[[], float] = time.monotonic
    bad: int = 0
    """Bad steps of the stage so far."""
    streak: int = 0
    """Bad steps in a row, up to now."""
    _sums: Tensor | None = None
    """Of loss and accuracy over the good steps, and the number of these: [3] float64, on the device."""
    _weight: float = 0.0
    _steps: int = 0
    _clips: int = 0
    _since: float = field(init=False)
    _unread: list[tuple[Tensor, Tensor]] = field(factory=list)
    """Of each step that nobody has looked at: was it bad, and its videos."""

    def __attrs_post_init__(self) -> None:
        self._since = self.clock()

    def add(self, outcome: StepOutcome, batch: ClipBatch) -> None:
        """One more step. Nothing is read."""
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
        """Means by name over all members of the group, with the diagnostics of the last step if it was a good one."""
        assert self._sums is not None
        self.look()
        loss, accuracy, good = self._shared(self._sums).tolist()
        row = {"loss": loss / good, "pretext_accuracy": accuracy / good} if good else {}
        if not self.streak:
            row |= self._means({**diagnostics(last)})
        row["weight"] = self._weight / self._steps
        row["bad_steps"] = float(self.bad)
        row["clips_per_second"] = self._clips / max(self.clock() - self._since, 1e-9)
        return {name: value for name, value in row.items() if math.isfinite(value)}

    def next(self) -> None:
        """A row is written: begin anew."""
        self._sums, self._weight, self._steps, self._clips, self._since = None, 0.0, 0, 0, self.clock()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs for the row that is under way to come out as if nothing had happened."""
        self.look()
        sums = torch.zeros(3, dtype=torch.float64) if self._sums is None else self._shared(self._sums)
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

    def look(self) -> None:
        """Count the bad ones among the steps that nobody has looked at."""
        if not self._unread:
            return
        unread, self._unread = self._unread, []
        for bad, (_, videos) in zip(torch.stack([flag for flag, _ in unread]).tolist(), unread, strict=True):
            self.bad += bad
            self.streak = self.streak + 1 if bad else 0
            if self.streak >= self.max_bad_steps:
                raise VimixError(self._complaint(self.group.all_gather(videos).tolist()))

    def _complaint(self, videos: Sequence[int]) -> str:
        named = ", ".join(self.names[video] if video < len(self.names) else f"number {video}" for video in videos)
        return (
            f"{self.streak} training steps in a row had a loss or gradient that is not finite (run.max_bad_steps = "
            f"{self.max_bad_steps}); they changed nothing, and the checkpoints are from before. Lower optim.lr, add "
            f"optim.warmup_steps, or set run.precision = 'float32'. The videos of the last one: {named}"
        )

    def _shared(self, values: Tensor) -> Tensor:
        """The mean over the group's members, [n] on the CPU."""
        return self.group.all_gather(values.cpu()[None]).mean(dim=0)

    def _means(self, values: dict[str, float]) -> dict[str, float]:
        if not values:
            return {}
        shared = self._shared(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, shared.tolist(), strict=True))
