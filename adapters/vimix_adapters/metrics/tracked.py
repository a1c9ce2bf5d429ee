"""Metrics in a service that tracks experiments."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from vimix.values.errors import VimixError
from vimix_adapters.files import make_folder, write_text
from vimix_adapters.reading import read_json, reason_of

_log = structlog.get_logger()


class Tracker(Protocol):
    """A service that keeps runs: Weights & Biases or MLflow. Each call may raise what the service's client raises."""

    def begin(self, run: str | None) -> str:
        """Continue the run with this id, or begin one; returns its id."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send a row to the run."""
        ...

    def end(self) -> None:
        """Send what is left, and end the run for now."""
        ...


class TrackedMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink`` with one run of a tracker.

    ``path`` is a JSON file with the run's id and last step: a resumed stage continues its run. A service removes no
    rows, so the rows that a resumed stage repeats are left out, and a stage that begins again begins another run.
    A row that cannot be sent ends the tracking with a warning, not the training.
    """

    def __init__(self, path: Path, tracker: Tracker) -> None:
        self._path, self._tracker = path, tracker
        self._state: dict[str, Any] | None = None
        self._lost = False
        make_folder(path.parent)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Send a row. Raises VimixError if it is the first and the service does not begin or continue the run."""
        state = self._state or self._begin()
        if self._lost or step <= state["step"]:
            return
        try:
            self._tracker.log(step, values)
        except Exception as error:  # clients raise what they like
            self._lost = True
            _log.warning("tracking.stopped", run=state["run"], step=step, reason=_line(error), rows="metrics.jsonl")
        else:
            self._keep(state["run"], step)

    def rewind(self, step: int) -> None:
        """Begin another run if ``step`` is 0; a later step leaves the rows, which are not sent again."""
        if step == 0:
            self.close()
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End the run for now."""
        if self._state is not None:
            self._state = None
            try:
                self._tracker.end()
            except Exception as error:
                _log.warning("tracking.not_ended", reason=_line(error))

    def _begin(self) -> dict[str, Any]:
        kept = self._kept()
        try:
            run = self._tracker.begin(kept.get("run"))
        except Exception as error:
            name = self._path.stem
            raise VimixError(f"run.metrics: {name} does not begin a run: {_line(error)}; or remove {name!r}") from error
        return self._keep(run, kept.get("step", 0))

    def _kept(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        expected = 'an object such as {"run": "1a2b3c", "step": 120} (remove the file to begin another run)'
        kept = read_json(self._path, expected)
        if not isinstance(kept, dict) or (type(kept.get("run")), type(kept.get("step"))) != (str, int):
            raise VimixError(f"{self._path}: expected {expected}")
        return kept

    def _keep(self, run: str, step: int) -> dict[str, Any]:
        self._state = {"run": run, "step": step}
        write_text(self._path, json.dumps(self._state) + "\n")
        return self._state


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or reason_of(error)
