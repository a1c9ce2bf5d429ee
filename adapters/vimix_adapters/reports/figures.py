"""The paper's Figures 2 and 3, from the metrics that runs leave behind."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.files import replacing

Doubles = NDArray[np.float64]


@frozen(eq=False)
class Curve:
    """A quantity by epoch of training, counted over all stages of its encoder: both [N] float64."""

    epochs: Doubles
    values: Doubles


@frozen
class Panel:
    """One set of axes: a curve a seed, by arm."""

    quantity: str
    factor: float
    curves: Mapping[str, Sequence[Curve]]


def draw_panels(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Write a PNG, one line an arm: the mean over its seeds, pale lines the seeds themselves, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    every: Any = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(every, panels, strict=True):
        for arm, curves in panel.curves.items():
            _draw(axes, arm, curves, panel.factor)
        axes.set(xlabel="epoch", ylabel=panel.quantity)
        axes.grid(alpha=0.3)
    every[0].legend(fontsize=8)
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


def _draw(axes: Any, arm: str, curves: Sequence[Curve], factor: float) -> None:
    mean = mean_curve(curves)
    (line,) = axes.plot(mean.epochs, factor * mean.values, label=f"{arm} ({len(curves)} seeds)" if curves[1:] else arm)
    for curve in curves if curves[1:] else ():
        axes.plot(curve.epochs, factor * curve.values, color=line.get_color(), alpha=0.25, linewidth=0.8)
