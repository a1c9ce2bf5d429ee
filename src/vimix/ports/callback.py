"""Callbacks that watch a training run."""

from collections.abc import Mapping
from typing import Protocol


class Callback(Protocol):
    """Called by the training loop. It changes nothing of the run. Subclasses override the methods that they need."""

    def on_row(self, step: int, row: Mapping[str, float]) -> None:
        """Called with each row of metrics after it was recorded."""
        del step, row

    def measures_after(self, epoch: int) -> bool:
        """Whether the loop should call ``measure`` at the end of ``epoch``, counted from 1."""
        del epoch
        return False

    def measure(self) -> Mapping[str, float]:
        """Numbers that join the row of metrics at the end of an epoch, by name."""
        return {}
