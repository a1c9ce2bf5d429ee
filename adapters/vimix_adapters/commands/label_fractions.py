"""Accuracy of the linear probe with few labels: a curve over fractions of the training videos."""

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from vimix.app.linear_probe import probe_on_fraction
from vimix_adapters import config, wiring
from vimix_adapters.commands.evaluation_details import CURVE
from vimix_adapters.commands.scores import Pairs, sides
from vimix_adapters.reports.console import show_table, text_table
from vimix_adapters.reports.curves import draw_fractions
from vimix_adapters.reports.summaries import mean_and_deviation


@frozen
class FractionScores:
    """Top-1 accuracy of probes that were trained on a fraction of the training videos of each class."""

    fraction: float
    videos: int
    """Number of training videos, at least one of each class."""
    top1: Sequence[float]
    """Accuracy, 0 to 1, of each draw of these videos."""

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
    means, deviations = zip(*(mean_and_deviation(point.top1) for point in curve), strict=True)
    spreads = [deviation or 0.0 for deviation in deviations]  # a single draw has none
    rows = [
        [f"{point.fraction:g}", str(point.videos), str(len(point.top1)), f"{100 * mean:.1f}", f"{100 * spread:.1f}"]
        for point, mean, spread in zip(curve, means, spreads, strict=True)
    ]
    caption = "top-1 in per cent, mean and deviation over draws of the training videos"
    show_table(text_table(["fraction", "videos", "draws", "top-1", "deviation"], rows, "r", title, caption))
    draw_fractions(out.with_suffix(CURVE), [point.fraction for point in curve], means, spreads, title)
