"""Warnings in the log of a training: collapsed embeddings, skipped steps, and waiting for data."""

from collections.abc import Mapping

import structlog

from vimix.domain.contrast.diagnostics import looks_collapsed
from vimix.ports.callback import Callback

REPEAT = 10
"""Rows of metrics between two warnings of a collapse that lasts."""
ADVICE = (
    "a set of a few hundred clips needs contrast.queue = 0 and smaller batches (docs/training.md, Small sets); "
    "otherwise lower optim.lr or raise contrast.temperature, unless this is the start of a run"
)

THRESHOLD = 0.15
"""Share of the time spent waiting for data above which faster loading would pay."""
ROWS = 3
"""Rows in a row above the threshold before the warning: the first batches are slow everywhere."""

_log = structlog.get_logger()


class CollapseWarning(Callback):
    """Warns when the effective rank of the embeddings says that they collapsed, and when steps were skipped.

    ``possible_rank`` is the greatest effective rank that the keys of a batch can have; 0 in a training without keys.
    The warning is repeated every ``REPEAT`` rows while the collapse lasts, and when further steps were skipped.
    """

    def __init__(self, possible_rank: int = 0) -> None:
        self._possible = possible_rank
        self._rows_collapsed = 0
        self._bad = 0.0

    def on_row(self, step: int, row: Mapping[str, float]) -> None:
        """Read ``effective_rank``, the lowest of several modalities that are trained at once, and ``bad_steps``."""
        rank = min((value for name, value in row.items() if name.endswith("effective_rank")), default=None)
        if rank is not None:
            collapsed = looks_collapsed(rank, self._possible)
            if collapsed and self._rows_collapsed % REPEAT == 0:
                _log.warning(
                    "embeddings.look_collapsed",
                    step=step,
                    effective_rank=round(rank, 2),
                    possible=self._possible,
                    advice=ADVICE,
                )
            self._rows_collapsed = self._rows_collapsed + 1 if collapsed else 0
        bad = row.get("bad_steps", 0.0)
        if bad > self._bad:
            _log.warning("steps.skipped", step=step, bad_steps=int(bad), reason="loss or gradient not finite")
        self._bad = bad


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
