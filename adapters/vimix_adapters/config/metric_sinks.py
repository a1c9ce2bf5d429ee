"""The registry of metrics sinks: where a recipe's ``run.metrics`` may send the rows of a training.

A new sink is one entry of ``SINKS`` and the function that its ``builder`` names. The registry is plain data: the module
of a builder, and with it the package that it needs, is imported when a training begins.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen


@frozen
class SinkEntry:
    """One sink: its name, its builder, and the package that it needs."""

    name: str
    """Name in ``run.metrics`` of a recipe."""
    builder: str | Callable[..., Any]
    """``module:function``, or the function itself: a ``vimix_adapters.wiring.metrics_sinks.SinkBuilder``."""
    package: str = ""
    """Package of the extra of the same name, as Python imports it; empty: vimix always has what the sink needs."""


SINKS: dict[str, SinkEntry] = {
    entry.name: entry
    for entry in (
        SinkEntry("tensorboard", "vimix_adapters.metrics.tensorboard:build_tensorboard"),
        SinkEntry("wandb", "vimix_adapters.metrics.tracked:build_wandb", package="wandb"),
        SinkEntry("mlflow", "vimix_adapters.metrics.tracked:build_mlflow", package="mlflow"),
    )
}
"""All sinks by name."""


def register_sink(entry: SinkEntry) -> None:
    """Let recipes name a sink of one's own, in this process, before they are read."""
    SINKS[entry.name] = entry
