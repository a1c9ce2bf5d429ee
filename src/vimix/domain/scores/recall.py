"""Retrieval recall (section 8 of the method)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def recall_at_k(
    neighbour_labels: NDArray[np.int64], query_labels: NDArray[np.int64], ks: Sequence[int]
) -> dict[int, float]:
    """R@k for each k of ``ks``: the share of queries, 0 to 1, with their own class among the k nearest.

    ``neighbour_labels`` [Q, n] are the classes of each query's n nearest, nearest first; ``query_labels`` [Q].
    A k above n counts all n neighbours, which is right only if the gallery holds no more than n.
    Raises ValueError for shapes that do not fit, no query, or a k below 1.
    """
    if neighbour_labels.ndim != 2 or neighbour_labels.shape[:1] != query_labels.shape or len(query_labels) == 0:
        raise ValueError(
            f"expected neighbour labels [Q, n] and query labels [Q] with Q > 0, "
            f"got {neighbour_labels.shape} and {query_labels.shape}"
        )
    if min(ks) < 1:
        raise ValueError(f"k counts neighbours from 1, got {min(ks)}")
    hits = neighbour_labels == query_labels[:, None]
    return {k: float(hits[:, :k].any(axis=1).mean()) for k in ks}
