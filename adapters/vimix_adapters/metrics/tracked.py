"""Metrics in a service that tracks experiments: Weights & Biases or MLflow, whose environment variables hold."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from vimix.values.errors import VimixError
from vimix_adapters.files import make_folder, write_text
from vimix_adapters.reading import read_json, reason_of
from vimix_adapters.structuring import dotted

_log = structlog.get_logger()


class Tracker(Protocol):
    """A service that keeps runs. Each call may raise what the service's client raises."""

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


class WandbTracker:
    """Implements ``Tracker`` with Weights & Biases."""

    def __init__(self, folder: Path, project: str, settings: Mapping[str, Any]) -> None:
        self._folder, self._project, self._settings = folder, project, settings
        self._run: Any = None

    def begin(self, run: str | None) -> str:
        """Begin the run in the project WANDB_PROJECT, or that of the recipe's name; see ``Tracker``."""
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", self._project),
            name="/".join(self._folder.resolve().parts[-3:]),
            config=dict(self._settings),
            dir=str(self._folder),
            id=run,
            resume="allow" if run else None,
            settings=wandb.Settings(console="off"),  # it would record every redrawing of the progress bar
        )
        return str(self._run.id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the row to the history of the run."""
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        """Wait until the rows are written or uploaded."""
        self._run.finish()


def build_wandb(folder: Path, project: str, settings: Mapping[str, Any]) -> TrackedMetrics:
    """The sink of a stage: ``wandb.json`` of its folder names the run, ``wandb/`` holds the package's files."""
    return TrackedMetrics(folder / "wandb.json", WandbTracker(folder, project, settings))


class MlflowTracker:
    """Implements ``Tracker`` with MLflow."""

    def __init__(self, folder: Path, experiment: str, settings: Mapping[str, Any]) -> None:
        self._folder, self._experiment, self._settings = folder, experiment, settings
        self._client: Any = None

    def begin(self, run: str | None) -> str:
        """Begin the run in the experiment MLFLOW_EXPERIMENT_NAME, or that of the recipe's name; see ``Tracker``."""
        from mlflow import MlflowClient

        self._client = MlflowClient()
        if run is not None:
            self._client.update_run(run, status="RUNNING")
        self._run = run or self._new_run()
        return self._run

    def _new_run(self) -> str:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", self._experiment)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, run_name="/".join(self._folder.resolve().parts[-3:])).info.run_id
        # Servers take at least 500 characters a value.
        parameters = [Param(key, str(value)[:500]) for key, value in dotted(self._settings).items()]
        for first in range(0, len(parameters), 100):  # the most that they take at once
            self._client.log_batch(run, params=parameters[first : first + 100])
        return str(run)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the row to the metrics of the run."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def end(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


def build_mlflow(folder: Path, project: str, settings: Mapping[str, Any]) -> TrackedMetrics:
    """The sink of a stage: ``mlflow.json`` of its folder names the run."""
    return TrackedMetrics(folder / "mlflow.json", MlflowTracker(folder, project, settings))
