"""Classification by nearest neighbours (Wu et al. 2018): accuracy of features without any training."""

import numpy as np
from numpy.typing import NDArray

from vimix.domain.scores.feature_scaling import centre, mean_row, unit_rows


def knn_accuracy(
    gallery: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    query_labels: NDArray[np.int64],
    k: int,
    temperature: float = 0.07,
) -> float:
    """Share, 0 to 1, of queries [Q, D] whose class gets the most votes of their k nearest in the gallery [N, D].

    Features are centred by the gallery and compared by cosine s; a neighbour's vote is exp(s/temperature). Equal
    similarities rank in order of the gallery, equal votes in order of the class. If k exceeds N, all N vote.
    """
    mean = mean_row(gallery)
    similarities = unit_rows(centre(queries, mean)) @ unit_rows(centre(gallery, mean)).T
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, : min(k, len(gallery))]
    votes = np.exp(np.take_along_axis(similarities, nearest, axis=1).astype(np.float64) / temperature)
    ballot = np.zeros((len(queries), int(labels.max()) + 1))
    np.add.at(ballot, (np.arange(len(queries))[:, None], labels[nearest]), votes)
    return float((ballot.argmax(axis=1) == query_labels).mean())
