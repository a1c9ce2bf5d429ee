"""A word in the log when the numbers look bad."""

from collections.abc import Mapping

import structlog

from vimix.domain.contrast.diagnostics import looks_collapsed

_log = structlog.get_logger()


class CollapseWarning:
    """Implements ``vimix.ports.metrics.MetricsSink``: warns of collapsed embeddings and of skipped steps.

    ``possible_rank`` is the greatest effective rank that a batch's keys could have; 0 where there are no keys. Each
    warning comes once, and again after the numbers had been good or more steps were skipped.
    """

    def __init__(self, possible_rank: int) -> None:
        self._possible = possible_rank
        self._collapsed = False
        self._bad = 0.0

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Look at a row."""
        rank = values.get("effective_rank")
        if rank is not None:
            collapsed = looks_collapsed(rank, self._possible)
            if collapsed and not self._collapsed:
                _log.warning(
                    "embeddings.look_collapsed",
                    step=step,
                    effective_rank=round(rank, 2),
                    possible=self._possible,
                    advice="lower optim.lr or raise contrast.temperature, unless this is the start of a run",
                )
            self._collapsed = collapsed
        bad = values.get("bad_steps", 0.0)
        if bad > self._bad:
            _log.warning("steps.skipped", step=step, bad_steps=int(bad), reason="loss or gradient not finite")
        self._bad = bad

    def rewind(self, step: int) -> None:
        """Nothing is remembered by step."""

    def close(self) -> None:
        """Nothing is held open."""
