"""Warns once in the log if training waits for its data."""

from collections.abc import Mapping

import structlog

from vimix.ports.callback import Callback

THRESHOLD = 0.15
"""Share of the time spent waiting for data above which faster loading would pay."""
ROWS = 3
"""Rows in a row above the threshold before the warning: the first batches are slow everywhere."""

_log = structlog.get_logger()


class InputBoundHint(Callback):
    """Warns once, with advice, when ``data_time`` was above ``THRESHOLD`` in ``ROWS`` successive rows."""

    def __init__(self) -> None:
        self._successive, self._warned = 0, False

    def on_row(self, step: int, row: Mapping[str, float]) -> None:
        """Read ``data_time``."""
        self._successive = self._successive + 1 if row.get("data_time", 0.0) > THRESHOLD else 0
        if self._successive == ROWS and not self._warned:
            self._warned = True
            _log.warning(
                "training.input_bound",
                step=step,
                data_time=f"{row['data_time']:.0%} of the time is spent waiting for clips",
                hint="raise data.workers, or pack the store raw or with a smaller --short-side",
            )
