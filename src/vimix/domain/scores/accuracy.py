"""Retrieval recall and classification accuracy (section 8 of the method), and which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vimix.domain.scores.feature_scaling import centre, mean_row, unit_rows


def recall_at_k(
    neighbour_labels: NDArray[np.int64], query_labels: NDArray[np.int64], ks: Sequence[int]
) -> dict[int, float]:
    """R@k for each k of ``ks``: the share of queries, 0 to 1, with their own class among the k nearest.

    ``neighbour_labels`` [Q, n] are the classes of each query's n nearest, nearest first; ``query_labels`` [Q].
    A k above n counts all n neighbours, which is right only if the gallery holds no more than n.
    """
    hits = neighbour_labels == query_labels[:, None]
    return {k: float(hits[:, :k].any(axis=1).mean()) for k in ks}


def top_k_accuracy(probabilities: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> float:
    """Share, 0 to 1, of rows of ``probabilities`` [Q, C] with their label [Q] among the k most probable classes.

    Equal probabilities rank in ascending order of class. A label outside 0 ... C-1 (a class without training videos)
    is a miss. Raises ValueError for a probability that is not finite.
    """
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is not finite")
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((best == labels[:, None]).any(axis=1).mean())


def confusion(probabilities: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts [classes, classes] int64: entry (i, j) is the number of rows of class i whose most probable class is j.

    ``probabilities`` [Q, C] with C <= ``classes``, ``labels`` [Q] from 0 to ``classes`` - 1. Among equal probabilities
    the first class counts. The trace, divided by Q, is the top-1 accuracy.
    """
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def knn_accuracy(
    gallery: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    k: int,
    temperature: float = 0.07,
) -> float:
    """Share, 0 to 1, of queries [Q, D] whose class gets the most votes of their k nearest in the gallery [N, D].

    Features are centred by the gallery and compared by cosine s; a neighbour's vote is exp(s/temperature) (Wu et al.
    2018). Equal similarities rank in order of the gallery, equal votes in order of the class. If k exceeds N, all vote.
    """
    mean = mean_row(gallery)
    similarities = unit_rows(centre(queries, mean)) @ unit_rows(centre(gallery, mean)).T
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, : min(k, len(gallery))]
    votes = np.exp(np.take_along_axis(similarities, nearest, axis=1).astype(np.float64) / temperature)
    ballot = np.zeros((len(queries), int(labels.max()) + 1))
    np.add.at(ballot, (np.arange(len(queries))[:, None], labels[nearest]), votes)
    return float((ballot.argmax(axis=1) == query_labels).mean())
