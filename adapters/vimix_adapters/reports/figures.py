"""Figures as PNG files, and those from the metrics of runs: a picture, a table and plain data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from rich.table import Table

from vimix_adapters.files import replacing
from vimix_adapters.reports.console import text_table

Doubles = NDArray[np.float64]

FORMAT = "vimix-figure-1"
ROW = 3
"""Most panels beside each other."""


@frozen(eq=False)
class Curve:
    """A quantity by epoch, counted over all stages that train the encoder: both arrays [N] float64."""

    epochs: Doubles
    values: Doubles
    seed: int | None = None
    """Seed of the run; None for a mean over several runs."""


@frozen
class Panel:
    """The curves of one quantity: by arm, one per seed."""

    name: str
    """Name of the quantity in ``metrics.jsonl``."""
    label: str
    """Label of the axis, with the unit."""
    factor: float
    """Factor from the recorded values to that unit."""
    curves: Mapping[str, Sequence[Curve]]
    """Curves by title of the arm, one per seed."""


@contextmanager
def png_figure(path: Path, size: tuple[float, float], dpi: int = 100) -> Iterator[Any]:
    """Yield an empty ``matplotlib.figure.Figure`` of ``size`` inches, and write what was drawn as a PNG, atomically."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    yield figure
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


def draw_panels(path: Path, panels: Sequence[Panel], title: str, columns: int = ROW) -> None:
    """Write a PNG with one bold line per arm, the mean over its seeds, and one pale line per seed, atomically."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    arms = list(dict.fromkeys(arm for panel in panels for arm in panel.curves))
    lines: dict[str, Any] = {}
    with png_figure(path, (5.5 * columns, 4 * rows), dpi=120) as figure:
        for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=False):
            # The first arm is drawn last, above others that share a stage.
            for arm, curves in reversed([*panel.curves.items()]):
                lines[arm] = _draw(axes, arm, curves, panel.factor, colour=f"C{arms.index(arm)}")
            axes.set(xlabel="epoch", ylabel=panel.label)
            axes.grid(alpha=0.3)
        below = figure.legend(handles=[lines[arm] for arm in arms], loc="outside lower center", ncols=columns)
        for text in below.get_texts():
            text.set_parse_math(False)  # an arm's name may hold dollar signs
        figure.suptitle(title, parse_math=False)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over seeds at the epochs that all curves have."""
    shared = curves[0].epochs
    for curve in curves[1:]:
        shared = np.intersect1d(shared, curve.epochs)
    values = [curve.values[np.isin(curve.epochs, shared)] for curve in curves]
    return Curve(shared, np.mean(values, axis=0))


def panel_table(panel: Panel) -> Table:
    """Return a table for the console: the first, lowest, highest and last value of each arm's mean over its seeds.

    A curve that ends well below its highest point belongs to an encoder that was trained for too long.
    """
    rows = []
    for arm, curves in panel.curves.items():
        mean = mean_curve(curves)
        if not len(mean.epochs):  # the seeds were measured at different epochs
            rows.append([arm, str(len(curves)), *"----"])
            continue
        points = (0, int(mean.values.argmin()), int(mean.values.argmax()), -1)
        cells = (f"{panel.factor * mean.values[at]:.3g} ({mean.epochs[at]:.0f})" for at in points)
        rows.append([arm, str(len(curves)), *cells])
    headings = ["arm", "seeds", "first", "lowest", "highest", "last"]
    return text_table(headings, rows, "lr", panel.label, "mean over the seeds; in brackets the epoch")


def plain(name: str, modality: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return the curves of all seeds as plain data, in the units of ``metrics.jsonl``."""
    return {
        "format": FORMAT,
        "figure": name,
        "modality": modality,
        "panels": [
            {
                "quantity": panel.name,
                "arms": {
                    arm: [{"seed": c.seed, "epochs": c.epochs.tolist(), "values": c.values.tolist()} for c in curves]
                    for arm, curves in panel.curves.items()
                },
            }
            for panel in panels
        ],
    }


def _draw(axes: Any, arm: str, curves: Sequence[Curve], factor: float, colour: str) -> Any:
    mean, several = mean_curve(curves), len(curves) > 1
    label = f"{arm} ({len(curves)} seeds)" if several else arm
    dot = "o" if len(mean.epochs) == 1 else ""
    (line,) = axes.plot(mean.epochs, factor * mean.values, color=colour, marker=dot, label=label)
    for curve in curves if several else ():
        axes.plot(curve.epochs, factor * curve.values, color=colour, alpha=0.25, linewidth=0.8, zorder=1.9)
    return line
