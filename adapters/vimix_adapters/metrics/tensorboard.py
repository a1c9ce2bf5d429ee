"""Metrics as TensorBoard events."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class TensorBoardMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink``: one scalar for each name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None
        self._purge: int | None = None

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add the scalars of a row."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def rewind(self, step: int) -> None:
        """Make TensorBoard hide the scalars that were recorded after ``step``."""
        self.close()
        self._purge = step + 1

    def close(self) -> None:
        """Flush and close the events file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def build_tensorboard(folder: Path, project: str, settings: Mapping[str, Any]) -> TensorBoardMetrics:  # noqa: ARG001
    """The sink of a stage: its events are in ``tensorboard/`` of its folder."""
    return TensorBoardMetrics(folder / "tensorboard")
