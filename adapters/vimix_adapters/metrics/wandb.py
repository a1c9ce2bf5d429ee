"""Metrics in Weights & Biases."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimix_adapters.metrics.tracked import TrackedMetrics


class WandbTracker:
    """Implements ``vimix_adapters.metrics.tracked.Tracker``; the package's environment variables hold."""

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
