"""Files that an evaluation writes beside its record: scores by video, confusion matrix, accuracy with few labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from vimix.app.linear_probe import probe_on_fraction
from vimix.domain.scores.accuracy import confusion
from vimix.ports.clips import VideoStore
from vimix.values.predictions import CrossModalScores, FinetuneScores, ProbeScores, RetrievalScores, VideoProbabilities
from vimix_adapters import config, wiring
from vimix_adapters.commands.scores import Pairs, sides
from vimix_adapters.csv_tables import write_csv
from vimix_adapters.reports.confusion import draw_confusion, write_confusion
from vimix_adapters.reports.console import show_table, text_table
from vimix_adapters.reports.curves import draw_fractions
from vimix_adapters.reports.summaries import mean_and_deviation

Scores = CrossModalScores | RetrievalScores | ProbeScores | FinetuneScores
SCORES, CONFUSION, PICTURE, CURVE = ".scores.csv", ".confusion.json", ".confusion.png", ".fractions.png"
"""Endings of the files, in place of the record's ``.json``."""


def detail_files(out: Path, fractions: bool = False) -> list[Path]:
    """The files that an evaluation may write beside its record ``out``."""
    return [out.with_suffix(ending) for ending in (SCORES, CONFUSION, PICTURE, *([CURVE] if fractions else []))]


def write_details(out: Path, store: VideoStore, found: Scores) -> dict[str, float]:
    """Write the scores of each test video of ``store`` and the confusion matrix; return the accuracy by class.

    Retrieval predicts no classes: its file lists the nearest video of each query, and nothing is returned. Scores
    from one modality to another have no file.
    """
    if isinstance(found, CrossModalScores):
        return {}
    if isinstance(found, RetrievalScores):
        write_csv(out.with_suffix(SCORES), RETRIEVED, _retrieved(store, found))
        return {}
    tested, classes = found.tested, store.classes
    write_csv(out.with_suffix(SCORES), ["video", "class", "predicted", *classes], _classified(store, tested))
    counts = confusion(tested.probabilities, tested.labels, len(classes))
    write_confusion(out.with_suffix(CONFUSION), classes, counts)
    draw_confusion(out.with_suffix(PICTURE), classes, counts)
    return {classes[i]: float(counts[i, i] / row.sum()) for i, row in enumerate(counts) if row.any()}


RETRIEVED = ("video", "class", "nearest", "nearest_class", "similarity", "rank_of_own_class")


def _retrieved(store: VideoStore, found: RetrievalScores) -> Iterable[Sequence[object]]:
    """A line a query; the rank is that of the nearest video of its class, empty if none is among those searched."""
    for query, video in enumerate(found.query_videos.tolist()):
        label, nearest = int(found.query_labels[query]), int(found.neighbours[query, 0])
        hits = np.flatnonzero(found.neighbour_labels[query] == label)
        yield (
            store.videos[video].name,
            store.classes[label],
            store.videos[nearest].name,
            store.classes[int(found.neighbour_labels[query, 0])],
            round(float(found.similarities[query, 0]), 6),
            int(hits[0]) + 1 if len(hits) else "",
        )


def _classified(store: VideoStore, tested: VideoProbabilities) -> Iterable[Sequence[object]]:
    """A line a test video; a class without training videos has probability 0."""
    for video, label, row in zip(tested.videos.tolist(), tested.labels.tolist(), tested.probabilities, strict=True):
        padded = [*row.tolist(), *[0.0] * (len(store.classes) - len(row))]
        scores = [round(float(value), 6) for value in padded]
        yield store.videos[video].name, store.classes[label], store.classes[int(row.argmax())], *scores


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
