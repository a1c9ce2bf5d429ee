"""Metrics in memory."""

from collections.abc import Mapping


class FakeMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink``."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.closed = False

    def record(self, step: int, values: Mapping[str, float]) -> None:
        self.rows.append({"step": step, **values})

    def rewind(self, step: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]

    def close(self) -> None:
        self.closed = True
