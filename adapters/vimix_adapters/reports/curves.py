"""Metrics of stages, and the curve of accuracy with few labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.reading import read_json_lines
from vimix_adapters.reports.figures import png_figure
from vimix_adapters.structuring import is_finite, is_number


@frozen(eq=False)
class StageMetrics:
    """The metrics of a stage that a run has begun."""

    folder: str
    """Name of the stage's folder."""
    modalities: Sequence[str]
    """Modalities that the stage trains."""
    epochs: int
    """Number of epochs in the plan."""
    rows: Sequence[Mapping[str, float]]
    """Rows of metrics, in order."""


def draw_fractions(
    path: Path, fractions: Sequence[float], means: Sequence[float], deviations: Sequence[float], title: str = ""
) -> None:
    """Write a PNG of the mean top-1 accuracy (0 to 1) by fraction, with bars of one deviation, atomically."""
    shares, heights, bars = (100 * np.asarray(values) for values in (fractions, means, deviations))
    with png_figure(path, (5.5, 4)) as figure:
        axes = figure.subplots()
        axes.errorbar(shares, heights, yerr=bars, marker="o", capsize=3)
        axes.set_xscale("log")
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.set_xticks([], minor=True)
        axes.set(xlabel="labelled training videos of each class (%)", ylabel="top-1 accuracy (%)")
        axes.grid(alpha=0.3)
        figure.suptitle(title, fontsize=10, parse_math=False)


def read_metrics(file: Path, needed: Sequence[str] = ("step",)) -> list[dict[str, float]]:
    """Read the rows of a ``metrics.jsonl``, one JSON object of numbers per line, without numbers that are not finite.

    Raises VimixError naming the file if it is missing or a line is no such object with all numbers ``needed``. An
    incomplete last line, which a crash may leave, is left out.
    """
    rows = []
    for number, row in enumerate(read_json_lines(file, "the metrics of a stage"), start=1):
        if (numbers := _numbers(row)) is None or any(name not in numbers for name in needed):
            names = " and ".join(needed)
            raise VimixError(f"{file}: line {number} is not a row of metrics: expected JSON with {names}, numbers only")
        rows.append(numbers)
    return rows


def of_view(rows: Sequence[Mapping[str, float]], modality: str) -> list[dict[str, float]]:
    """The rows with the numbers of one of several modalities that were trained at once, in place of their means."""
    prefix = f"{modality}/"
    return [
        {**row, **{name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}}
        for row in rows
    ]


def _numbers(row: object) -> dict[str, float] | None:
    """The finite numbers of a row; None unless it is an object of numbers."""
    if not isinstance(row, dict) or not all(map(is_number, row.values())):
        return None
    return {name: value for name, value in row.items() if is_finite(value)}
