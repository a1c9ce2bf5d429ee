"""What the figures of a training suggest to change, said once."""

from collections.abc import Mapping

import structlog

MUCH = 0.15
"""Share of a step's time spent waiting for data from which on there is something to be gained."""
ROWS = 3
"""So many rows in turn: the first batches are slow anywhere."""

log = structlog.get_logger()


class InputBoundHint:
    """Implements ``vimix.ports.metrics.MetricsSink``: keeps nothing, tells once that the data hold up the training."""

    def __init__(self) -> None:
        self._in_turn, self._told = 0, False

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Look at ``data_time``."""
        self._in_turn = self._in_turn + 1 if values.get("data_time", 0.0) > MUCH else 0
        if self._in_turn == ROWS and not self._told:
            self._told = True
            log.warning(
                "training.input_bound",
                step=step,
                data_time=f"{values['data_time']:.0%} of the time is spent waiting for clips",
                hint="raise data.workers, or pack the store raw or with a smaller --short-side",
            )

    def rewind(self, step: int) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing to close."""
