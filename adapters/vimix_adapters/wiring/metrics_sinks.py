"""Builds the metrics sinks that a recipe names."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol

from vimix.ports.metrics import MetricsSink
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.multi_sink import MultiSink
from vimix_adapters.metrics.progress_bar import ProgressMetrics


class SinkBuilder(Protocol):
    """The function that an entry of the registry names."""

    def __call__(self, folder: Path, project: str, settings: Mapping[str, Any]) -> MetricsSink:
        """The sink of the stage that is trained in ``folder``.

        ``project`` is the name of the recipe, ``settings`` decide the training: plain values, tables within tables.
        """
        ...


def require_sinks(recipe: config.Recipe) -> None:
    """Raise VimixError, naming the extra, if a sink of ``run.metrics`` needs a package that is not installed."""
    for entry in map(config.SINKS.__getitem__, recipe.run.metrics):
        if entry.package and find_spec(entry.package) is None:
            raise VimixError(
                f"run.metrics: {entry.package} is not installed; install the extra: "
                f"pip install 'vimix-ssl[{entry.name}]', or remove {entry.name!r}"
            )


def metrics_in(
    folder: Path, title: str, steps: int, recipe: config.Recipe, settings: Mapping[str, Any], group: ProcessGroup
) -> MetricsSink:
    """Lines of JSON, the sinks of ``run.metrics`` and a progress bar of ``steps`` steps; nothing on ranks other than 0.

    Raises VimixError as ``require_sinks`` does.
    """
    if group.rank:
        return MultiSink([])
    require_sinks(recipe)
    builders = [config.SINKS[name].builder for name in dict.fromkeys(recipe.run.metrics)]
    built: list[SinkBuilder] = [resolve_name(build) if isinstance(build, str) else build for build in builders]
    named = [build(folder, recipe.name, settings) for build in built]
    return MultiSink([JsonlMetrics(folder / "metrics.jsonl"), *named, ProgressMetrics(steps, title)])
