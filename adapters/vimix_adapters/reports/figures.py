"""The paper's Figures 2 and 3, from the metrics that runs leave behind: a picture, a table and plain data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from rich.table import Table

from vimix_adapters.files import replacing
from vimix_adapters.outputs import bytes_with, json_with

Doubles = NDArray[np.float64]

FORMAT = "vimix-figure-1"
PICTURE = bytes_with("a picture (PNG)", b"\x89PNG")
NUMBERS = json_with("the numbers of a figure", value=FORMAT)


@frozen(eq=False)
class Curve:
    """A quantity by epoch of training, counted over all stages of its encoder: both [N] float64."""

    epochs: Doubles
    values: Doubles
    seed: int | None = None
    """Of the run; None for a mean over several."""


@frozen
class Panel:
    """One set of axes: a curve a seed, by arm."""

    name: str
    """As in ``metrics.jsonl``."""
    label: str
    """Of the axis, with the unit."""
    factor: float
    """What a value is multiplied with to be in that unit."""
    curves: Mapping[str, Sequence[Curve]]


def draw_panels(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Write a PNG, one line an arm: the mean over its seeds, pale lines the seeds themselves, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    every: Any = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(every, panels, strict=True):
        numbered = list(enumerate(panel.curves.items()))
        for number, (arm, curves) in reversed(numbered):  # where arms share a stage, one sees the first of them
            _draw(axes, arm, curves, panel.factor, colour=f"C{number}")
        axes.set(xlabel="epoch", ylabel=panel.label)
        axes.grid(alpha=0.3)
    for text in every[0].legend(fontsize=8, reverse=True).get_texts():
        text.set_parse_math(False)  # an arm's name may hold dollar signs
    figure.suptitle(title, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean over seeds at the epochs that all of them have."""
    shared = curves[0].epochs
    for curve in curves[1:]:
        shared = np.intersect1d(shared, curve.epochs)
    values = [curve.values[np.isin(curve.epochs, shared)] for curve in curves]
    return Curve(shared, np.mean(values, axis=0))


def panel_table(panel: Panel) -> Table:
    """For rich's console: where each arm's mean over its seeds begins, is lowest and highest, and ends.

    A curve that ends well below its highest point belongs to an encoder that has been trained for too long.
    """
    table = Table(title=panel.label, caption="mean over the seeds; in brackets the epoch")
    table.add_column("arm")
    for heading in ("seeds", "first", "lowest", "highest", "last"):
        table.add_column(heading, justify="right")
    for arm, curves in panel.curves.items():
        mean = mean_curve(curves)
        if not len(mean.epochs):  # the seeds were measured at different epochs
            table.add_row(arm, str(len(curves)), *"----")
            continue
        points = (0, int(mean.values.argmin()), int(mean.values.argmax()), -1)
        cells = (f"{panel.factor * mean.values[at]:.3g} ({mean.epochs[at]:.0f})" for at in points)
        table.add_row(arm, str(len(curves)), *cells)
    return table


def plain(number: int, modality: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """For machines: every seed's curve as it was measured, in the units of ``metrics.jsonl``."""
    return {
        "format": FORMAT,
        "figure": number,
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


def _draw(axes: Any, arm: str, curves: Sequence[Curve], factor: float, colour: str) -> None:
    mean, several = mean_curve(curves), len(curves) > 1
    axes.plot(mean.epochs, factor * mean.values, color=colour, label=f"{arm} ({len(curves)} seeds)" if several else arm)
    for curve in curves if several else ():
        axes.plot(curve.epochs, factor * curve.values, color=colour, alpha=0.25, linewidth=0.8, zorder=1.9)
