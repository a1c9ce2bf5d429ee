"""Several metrics sinks used as one."""

from collections.abc import Mapping, Sequence

from vimix.ports.metrics import MetricsSink


class MultiSink:
    """Implements ``vimix.ports.metrics.MetricsSink`` by passing every call on to each of ``sinks``."""

    def __init__(self, sinks: Sequence[MetricsSink]) -> None:
        self._sinks = list(sinks)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Record the row in each sink."""
        for sink in self._sinks:
            sink.record(step, values)

    def rewind(self, step: int) -> None:
        """Rewind each sink."""
        for sink in self._sinks:
            sink.rewind(step)

    def close(self) -> None:
        """Close each sink."""
        for sink in self._sinks:
            sink.close()
