"""Sinks for the metrics of a run."""

from collections.abc import Mapping
from typing import Protocol


class MetricsSink(Protocol):
    """Records rows of numbers. Steps ascend, and a resumed run repeats none."""

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Record a row: values by name, such as ``loss`` (nats), ``pretext_accuracy`` (0-1), ``clips_per_second``."""
        ...

    def rewind(self, step: int) -> None:
        """Remove the rows after ``step``: a resumed run starts from its checkpoint, which may be older than they."""
        ...

    def close(self) -> None:
        """Flush and release all resources. Nothing is recorded afterwards; closing twice is allowed."""
        ...
