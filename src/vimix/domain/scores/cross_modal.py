"""Likeness of two modalities' features of the same videos, which need share no space, and recall by chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vimix.domain.scores.feature_scaling import Rows, centre, mean_row, unit_rows

Integers = NDArray[np.int64]

LEAST = 4
"""Fewest videos of the unbiased estimator."""


def linear_cka(one: Rows, other: Rows) -> float:
    """Centred kernel alignment of features [N, D1] and [N, D2] of N videos: 1 if equal up to a rotation, 0 for noise.

    The kernels are linear (Kornblith et al. 2019) and each HSIC is the unbiased estimator of Song et al. (2012), Eq. 5:
    the usual estimator nears 1 for any features with N below D. It may be slightly negative. Features without any
    variance give 0. N is at least ``LEAST``.
    """
    grams = [_hollow_gram(rows) for rows in (one, other)]
    own = [_unbiased_hsic(gram, gram) for gram in grams]
    if min(own) <= 0:
        return 0.0
    return _unbiased_hsic(*grams) / float(np.sqrt(own[0] * own[1]))


def mutual_neighbours(one: Rows, other: Rows, k: int) -> float:
    """Mean share, 0 to 1, of the k nearest videos that features [N, D1] and [N, D2] of N videos have in common.

    Each side is centred and compared by cosine; a video is no neighbour of itself (Huh et al. 2024). Features that have
    nothing in common give k/(N-1) on average. Equal cosines rank in order of the videos, and k is below N.
    """
    nearest = [_nearest(rows, k) for rows in (one, other)]
    return float(np.mean([len(np.intersect1d(mine, theirs)) / k for mine, theirs in zip(*nearest, strict=True)]))


def chance_recall(gallery_labels: Integers, query_labels: Integers, ks: Sequence[int]) -> dict[int, float]:
    """Expected R@k, 0 to 1, for each k of ``ks`` if the neighbours of each query were drawn at random from the gallery.

    For a query whose class has n of the N gallery videos: 1 - (N-n choose k) / (N choose k).
    """
    total, found = len(gallery_labels), {}
    right = np.array([(gallery_labels == label).sum() for label in query_labels], dtype=np.float64)
    for k in ks:
        drawn = np.arange(min(k, total))
        misses = np.clip(total - right[:, None] - drawn, 0, None) / (total - drawn)
        found[k] = float((1 - misses.prod(axis=1)).mean())
    return found


def _hollow_gram(rows: Rows) -> NDArray[np.float64]:
    """Dot products [N, N] of the centred rows, with zeros on the diagonal."""
    exact = rows.astype(np.float64)
    exact -= exact.mean(axis=0)
    gram: NDArray[np.float64] = exact @ exact.T
    np.fill_diagonal(gram, 0)
    return gram


def _unbiased_hsic(k: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Eq. 5 of Song et al. (2012), for Gram matrices [N, N] with zero diagonals."""
    n = len(k)
    trace = float((k * other).sum())
    sums = float(k.sum()) * float(other.sum()) / ((n - 1) * (n - 2))
    rows = 2 * float(k.sum(axis=0) @ other.sum(axis=0)) / (n - 2)
    return (trace + sums - rows) / (n * (n - 3))


def _nearest(rows: Rows, k: int) -> Integers:
    units = unit_rows(centre(rows, mean_row(rows)))
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    nearest: Integers = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return nearest
