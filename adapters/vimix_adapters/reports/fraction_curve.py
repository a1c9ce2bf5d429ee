"""A picture of accuracy by the fraction of labelled videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vimix_adapters.files import replacing


def draw_fractions(
    path: Path, fractions: Sequence[float], means: Sequence[float], deviations: Sequence[float], title: str = ""
) -> None:
    """Write a PNG of the mean top-1 accuracy (0 to 1) by fraction, with bars of one deviation, atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    shares, heights, bars = (100 * np.asarray(values) for values in (fractions, means, deviations))
    axes.errorbar(shares, heights, yerr=bars, marker="o", capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="labelled training videos of each class (%)", ylabel="top-1 accuracy (%)")
    axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10, parse_math=False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
