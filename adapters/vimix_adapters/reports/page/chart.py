"""Line charts of the page as numbers: where lines, ticks and labels lie in an SVG."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen

from vimix_adapters.reports.page.training import CurvePanel, TrainingCurve

WIDTH, HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 34
"""Size of a chart and its margins in pixels."""
COLOURS = 8
"""Number of colours; more arms begin again with the first."""


@frozen
class Polyline:
    """A curve as the points of a polyline."""

    points: str
    colour: int
    dash: int
    curve: TrainingCurve
    ends: Sequence[str]
    """First, lowest, highest and last value, for readers who do not see the chart."""

    @property
    def name(self) -> str:
        """Arm, modality and seed of the curve in words."""
        return f"{self.curve.arm}, {self.curve.modality}, seed {self.curve.seed}"


@frozen
class Chart:
    """A panel of curves, laid out."""

    panel: CurvePanel
    lines: Sequence[Polyline]
    x_ticks: Sequence[tuple[float, str]]
    """Place and label of each mark on the axis, as are ``y_ticks``."""
    y_ticks: Sequence[tuple[float, str]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most ``most`` + 1 numbers from ``low`` to ``high`` whose step is 1, 2 or 5 times a power of 10."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most)
    return [step * at for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def chart_of(panel: CurvePanel, colours: Mapping[tuple[str, str], int], dashes: Sequence[str]) -> Chart:
    """Lay out a panel. ``colours`` has the number of each (recipe, arm), ``dashes`` the modalities in order."""
    factor = 100.0 if panel.quantity.percent else 1.0
    values = factor * np.concatenate([curve.values for curve in panel.curves])
    last = max(max(curve.epochs) for curve in panel.curves)
    low, high = _range(values)

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * epoch / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    lines = [
        Polyline(
            " ".join(f"{x(e):.1f},{y(factor * v):.1f}" for e, v in zip(curve.epochs, curve.values, strict=True)),
            colours[curve.recipe, curve.arm] % COLOURS,
            dashes.index(curve.modality) % 4,
            curve,
            _ends(curve, factor),
        )
        for curve in panel.curves
    ]
    return Chart(
        panel,
        lines,
        [(round(x(at), 1), f"{at:g}") for at in ticks(0, last)],
        [(round(y(at), 1), f"{at:.6g}") for at in ticks(low, high)],
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """The lowest and highest value; a constant lies in the middle of a range that begins at 0."""
    low, high = float(values.min()), float(values.max())
    if low < high:
        return low, high
    return (min(0.0, 2 * low), max(0.0, 2 * low)) if low else (0.0, 1.0)


def _ends(curve: TrainingCurve, factor: float) -> list[str]:
    values = [factor * value for value in curve.values]
    return [f"{value:.4g}" for value in (values[0], min(values), max(values), values[-1])]
