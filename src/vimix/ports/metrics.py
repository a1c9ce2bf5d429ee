"""Where numbers go while a run is under way."""

from collections.abc import Mapping
from typing import Protocol


class MetricsSink(Protocol):
    """Takes a row of numbers a step. Steps ascend; a resumed run repeats none."""

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """``values`` by name, such as ``loss`` (nats), ``pretext_accuracy`` (0-1), ``clips_per_second``."""
        ...

    def rewind(self, step: int) -> None:
        """Forget the rows after ``step``: a resumed run starts from its checkpoint, which may be older than they."""
        ...

    def close(self) -> None:
        """Flush and release. Nothing is recorded after it."""
        ...
