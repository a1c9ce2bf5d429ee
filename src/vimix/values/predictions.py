"""Scores, together with the predictions that they were computed from."""

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


@frozen(eq=False)
class RetrievalScores:
    """R@k of Q query videos in a gallery, and each query's n nearest, nearest first."""

    recall: Mapping[int, float]
    """R@k by k, 0 to 1."""
    query_videos: Integers
    """[Q], indices into the store."""
    query_labels: Integers
    """[Q], classes of the queries."""
    neighbours: Integers
    """[Q, n], indices into the store."""
    neighbour_labels: Integers
    """[Q, n], classes of the neighbours."""
    similarities: Rows
    """[Q, n], cosines, the mean over the modalities."""
    siblings: int
    """Number of queries with a sibling (a clip of the same recording) in the gallery: above 0, R@k is too high."""
    protocol: Mapping[str, object]
    """Settings by which similarities were computed from features, as plain data for the record."""

    @property
    def record(self) -> dict[str, float]:
        """``{"R@1": ...}``, 0 to 1, as written to results."""
        return {f"R@{k}": value for k, value in self.recall.items()}


@frozen(eq=False)
class VideoProbabilities:
    """Predictions of a classifier for Q videos."""

    probabilities: Rows
    """[Q, classes] float32, class probabilities averaged over the windows and crops of each video."""
    labels: Integers
    """[Q] int64, classes of the videos."""
    videos: Integers
    """[Q] int64, indices into the store."""


@frozen(eq=False)
class Accuracy:
    """Accuracy of a classifier on test videos."""

    top1: float
    """Top-1 accuracy, 0 to 1."""
    top5: float
    """Top-5 accuracy, 0 to 1; with fewer than six classes it is 1 for any features."""

    @property
    def record(self) -> dict[str, float]:
        """``{"top-1": ..., "top-5": ...}``, 0 to 1, as written to results."""
        return {"top-1": self.top1, "top-5": self.top5}


@frozen(eq=False)
class ProbeScores(Accuracy):
    """Accuracy of a linear probe on Q test videos, and its predictions."""

    train: int
    """Number of training videos."""
    test_videos: Integers
    """[Q], indices into the store."""
    test_labels: Integers
    """[Q], classes of the test videos."""
    probabilities: Rows
    """[Q, classes], fused over the modalities."""
    siblings: int
    """Number of test videos with a sibling (a clip of the same recording) in the training set: above 0, the accuracy is
    too high."""
    protocol: Mapping[str, object]
    """Settings and choices of the probe, by modality, as plain data for the record."""

    @property
    def tested(self) -> VideoProbabilities:
        """Predictions for the test videos."""
        return VideoProbabilities(self.probabilities, self.test_labels, self.test_videos)


@frozen(eq=False)
class WindowProbabilities:
    """Predictions of a classifier for the W windows of one video, in order of time."""

    probabilities: Rows
    """[W, classes] float32, averaged over the crops of each window."""
    starts: tuple[int, ...]
    """First frame of each window."""

    @property
    def video(self) -> Rows:
        """[classes] float32, averaged over the windows."""
        mean: Rows = self.probabilities.mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean


@frozen(eq=False)
class FinetuneScores(Accuracy):
    """Accuracy of a classifier that was trained with labels."""

    tested: VideoProbabilities
    """Predictions for the test videos, fused over the modalities."""


@frozen(eq=False)
class CrossModalCell:
    """Two modalities: test videos in one query training videos in the other, and the likeness of their features."""

    queries: str
    """Modality of the queries."""
    gallery: str
    """Modality of the gallery."""
    recall: Mapping[int, float]
    """R@k by k, 0 to 1; empty if the features of the two differ in length."""
    cka: float | None
    """Centred kernel alignment, about 0 to 1; None for fewer than four test videos."""
    mutual: float | None
    """Share of mutual nearest neighbours, 0 to 1; None for a single test video."""


@frozen(eq=False)
class CrossModalScores:
    """Every modality against every other."""

    cells: Sequence[CrossModalCell]
    """All ordered pairs of modalities, row by row."""
    chance: Mapping[int, float]
    """R@k by k of neighbours drawn at random."""
    neighbours: int
    """Neighbours that the mutual share counts."""
    chance_mutual: float
    """Mutual share of features that have nothing in common."""
    siblings: int
    """Number of queries with a sibling (a clip of the same recording) in the gallery: above 0, R@k is too high."""
    protocol: Mapping[str, object]
    """Settings by which the scores were computed from features, as plain data for the record."""

    @property
    def record(self) -> dict[str, float]:
        """All scores by name, such as ``R@1 rgb to flow``, ``CKA rgb and flow``, ``R@1 by chance``."""
        named = {f"R@{k} by chance": value for k, value in self.chance.items()}
        named["mutual neighbours by chance"] = self.chance_mutual
        for cell in self.cells:
            named |= {f"R@{k} {cell.queries} to {cell.gallery}": value for k, value in cell.recall.items()}
        named_pairs: set[frozenset[str]] = set()
        for cell in self.cells:
            pair = frozenset((cell.queries, cell.gallery))
            if len(pair) == 2 and pair not in named_pairs:  # the other direction has the same numbers
                named_pairs.add(pair)
                likeness = {"CKA": cell.cka, "mutual neighbours": cell.mutual}
                words = f"{cell.queries} and {cell.gallery}"
                named |= {f"{name} {words}": value for name, value in likeness.items() if value is not None}
        return named
