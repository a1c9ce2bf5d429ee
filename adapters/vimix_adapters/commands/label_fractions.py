"""Accuracy of the linear probe with few labels: a curve over fractions of the training videos."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen
from rich.table import Table

from vimix.app.probe import probe_on_fraction
from vimix_adapters import config, wiring
from vimix_adapters.commands.evaluation_details import CURVE
from vimix_adapters.commands.scores import Pairs, sides
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.fraction_curve import draw_fractions


@frozen
class FractionScores:
    """Top-1 accuracy of probes that were trained on a fraction of the training videos of each class."""

    fraction: float
    videos: int
    """Number of training videos, at least one of each class."""
    top1: Sequence[float]
    """Accuracy, 0 to 1, of each draw of these videos."""

    @property
    def mean(self) -> float:
        """Mean over the draws."""
        return float(np.mean(self.top1))

    @property
    def deviation(self) -> float:
        """Standard deviation of a sample over the draws; 0 for a single draw."""
        return float(np.std(self.top1, ddof=1)) if len(self.top1) > 1 else 0.0

    @property
    def record(self) -> dict[str, object]:
        """Plain data for the record."""
        return {"fraction": self.fraction, "videos": self.videos, "top-1": list(self.top1)}


def label_curve(recipe: config.Recipe, pairs: Pairs, fractions: Sequence[float], draws: int) -> list[FractionScores]:
    """Accuracy for each fraction, over ``draws`` draws with the recipe's seed and those after it; all videos: one draw.

    Raises VimixError as a linear probe does.
    """
    (gallery, queries), probe, fusion = sides(pairs), wiring.build_probe(recipe), wiring.build_fusion(recipe)
    curve = []
    for fraction in fractions:
        found = [
            probe_on_fraction(gallery, queries, probe, fraction, recipe.seed + draw, fusion)
            for draw in range(1 if fraction == 1 else draws)
        ]
        curve.append(FractionScores(fraction, found[0].train, [scores.top1 for scores in found]))
    return curve


def show_fractions(curve: Sequence[FractionScores], out: Path, title: str) -> None:
    """Print the accuracies, and draw them into a file beside the record ``out``."""
    table = Table(title=title, caption="top-1 in per cent, mean and deviation over draws of the training videos")
    for heading in ("fraction", "videos", "draws", "top-1", "deviation"):
        table.add_column(heading, justify="right")
    for point in curve:
        scores = (f"{100 * value:.1f}" for value in (point.mean, point.deviation))
        table.add_row(f"{point.fraction:g}", str(point.videos), str(len(point.top1)), *scores)
    show_table(table)
    fractions, means, deviations = zip(*((p.fraction, p.mean, p.deviation) for p in curve), strict=True)
    draw_fractions(out.with_suffix(CURVE), fractions, means, deviations, title)
