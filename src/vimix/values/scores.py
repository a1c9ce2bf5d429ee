"""Scores with what they were computed from, so that a number can be looked into."""

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
    """Number of videos searched."""
    query_videos: Integers
    """[Q], indices into the store."""
    query_labels: Integers
    """[Q]."""
    neighbours: Integers
    """[Q, n], indices into the store."""
    neighbour_labels: Integers
    """[Q, n]."""
    similarities: Rows
    """[Q, n], cosine, the mean over the modalities."""
    siblings: int
    """Queries with a sibling (a clip of the same recording) in the gallery: above 0, R@k flatters the encoder."""
    protocol: Mapping[str, object]
    """How features became similarities, as plain data for the record."""

    @property
    def queries(self) -> int:
        """Number of queries Q."""
        return len(self.query_videos)

    @property
    def record(self) -> dict[str, float]:
        """``{"R@1": ...}``, 0 to 1, as written to results."""
        return {f"R@{k}": value for k, value in self.recall.items()}


@frozen(eq=False)
class ProbeScores:
    """Accuracy of a linear probe on Q test videos, and what it said of each."""

    top1: float
    """0 to 1."""
    top5: float
    """0 to 1; of fewer than six classes it is 1 whatever the features are worth."""
    train: int
    """Number of training videos."""
    test_videos: Integers
    """[Q], indices into the store."""
    test_labels: Integers
    """[Q]."""
    probabilities: Rows
    """[Q, classes], the mean over the modalities."""
    siblings: int
    """Test videos with a sibling (a clip of the same recording) in the training set: above 0, the score flatters."""
    protocol: Mapping[str, object]
    """The probe's settings and choices, by modality, as plain data for the record."""

    @property
    def test(self) -> int:
        """Number of test videos Q."""
        return len(self.test_videos)

    @property
    def record(self) -> dict[str, float]:
        """``{"top-1": ..., "top-5": ...}``, 0 to 1, as written to results."""
        return {"top-1": self.top1, "top-5": self.top5}


@frozen(eq=False)
class VideoProbabilities:
    """What a classifier says of Q videos."""

    probabilities: Rows
    """[Q, classes] float32, the mean over the video's windows and crops."""
    labels: Integers
    """[Q] int64."""
    videos: Integers
    """[Q] int64, indices into the store."""


@frozen(eq=False)
class FinetuneScores:
    """Accuracy of a finetuned (or from the start supervised) classifier."""

    top1: float
    """0 to 1."""
    top5: float
    """0 to 1; of fewer than six classes it is 1 whatever the classifier is worth."""
    train: int
    """Number of training videos."""
    tested: VideoProbabilities
    """The test videos, with the mean over the modalities."""

    @property
    def record(self) -> dict[str, float]:
        """``{"top-1": ..., "top-5": ...}``, 0 to 1, as written to results."""
        return {"top-1": self.top1, "top-5": self.top5}
