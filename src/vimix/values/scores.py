"""Scores, together with the predictions that they were computed from."""

from collections.abc import Mapping

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
    gallery: int
    """Number of videos in the gallery."""
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
    """How similarities were computed from features, as plain data for the record."""

    @property
    def queries(self) -> int:
        """Number of queries Q."""
        return len(self.query_videos)

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
class ProbeScores:
    """Accuracy of a linear probe on Q test videos, and its predictions."""

    top1: float
    """Top-1 accuracy, 0 to 1."""
    top5: float
    """Top-5 accuracy, 0 to 1; with fewer than six classes it is 1 for any features."""
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
    def test(self) -> int:
        """Number of test videos Q."""
        return len(self.test_videos)

    @property
    def tested(self) -> VideoProbabilities:
        """Predictions for the test videos."""
        return VideoProbabilities(self.probabilities, self.test_labels, self.test_videos)

    @property
    def record(self) -> dict[str, float]:
        """``{"top-1": ..., "top-5": ...}``, 0 to 1, as written to results."""
        return {"top-1": self.top1, "top-5": self.top5}


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
class FinetuneScores:
    """Accuracy of a classifier that was trained with labels."""

    top1: float
    """Top-1 accuracy, 0 to 1."""
    top5: float
    """Top-5 accuracy, 0 to 1; with fewer than six classes it is 1 for any classifier."""
    train: int
    """Number of training videos."""
    tested: VideoProbabilities
    """Predictions for the test videos, fused over the modalities."""

    @property
    def record(self) -> dict[str, float]:
        """``{"top-1": ..., "top-5": ...}``, 0 to 1, as written to results."""
        return {"top-1": self.top1, "top-5": self.top5}
