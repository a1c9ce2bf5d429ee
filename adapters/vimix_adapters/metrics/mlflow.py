"""Metrics in MLflow."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimix_adapters.metrics.tracked import TrackedMetrics
from vimix_adapters.structuring import dotted


class MlflowTracker:
    """Implements ``vimix_adapters.metrics.tracked.Tracker``; the package's environment variables hold."""

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
