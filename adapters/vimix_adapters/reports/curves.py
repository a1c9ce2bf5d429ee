"""Curves of a run: loss and pretext accuracy of its stages (the paper's Figure 3), and accuracy with few labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.reading import read_json_lines
from vimix_adapters.reports.figures import png_figure
from vimix_adapters.structuring import is_finite, is_number

PANELS: Mapping[str, tuple[str, float]] = {
    "loss": ("loss (nats)", 1.0),
    "pretext_accuracy": ("pretext accuracy (%)", 100.0),
}
"""Label of the axis and factor to its unit, by name in ``metrics.jsonl``."""
SMOOTHING = 0.05
"""Share of a stage's rows over which the bold line is averaged; the pale line shows the recorded values."""


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


def draw_curves(path: Path, stages: Mapping[str, Path], title: str = "") -> None:
    """Write a PNG of loss and pretext accuracy by step, with one line per stage, atomically.

    ``stages`` maps the name of a stage to its ``metrics.jsonl``, see ``read_metrics``, whose errors it raises.
    """
    with png_figure(path, (11, 4)) as figure:
        panels = figure.subplots(1, len(PANELS))
        for stage, file in stages.items():
            rows = read_metrics(file)
            for axes, (name, (_, factor)) in zip(panels, PANELS.items(), strict=True):
                _draw_stage(axes, stage, rows, name, factor)
        for axes, (label, _) in zip(panels, PANELS.values(), strict=True):
            axes.set(xlabel="step", ylabel=label)
            axes.grid(alpha=0.3)
        if stages:
            for text in panels[0].legend(fontsize=8).get_texts():
                text.set_parse_math(False)  # an arm's name may hold dollar signs
        figure.suptitle(title, parse_math=False)


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


def smoothed(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the running mean of the last ``width`` values, or of fewer at the start, [N] float64."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - width)
    means: NDArray[np.float64] = (sums[last] - sums[first]) / (last - first)
    return means


def _draw_stage(axes: Any, stage: str, rows: Sequence[Mapping[str, float]], name: str, factor: float) -> None:
    pairs = [(row["step"], row[name]) for row in rows if name in row]
    steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    (line,) = axes.plot(steps, factor * smoothed(values, max(1, round(SMOOTHING * len(values)))), label=stage)
    axes.plot(steps, factor * values, color=line.get_color(), alpha=0.25, linewidth=0.8)
