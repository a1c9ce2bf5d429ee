"""Centring and scaling of features before they are compared by cosine (section 8 of the method)."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""Features [N, D] float32, one a row."""


def mean_row(features: Rows) -> Rows:
    """The mean [D] float32 of the rows of ``features`` [N, D], summed in float64."""
    mean: Rows = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def centre(features: Rows, mean: Rows) -> Rows:
    """``features`` [N, D] minus ``mean`` [D], as float32 [N, D]."""
    centred: Rows = (features - mean).astype(np.float32, copy=False)
    return centred


def unit_rows(features: Rows) -> Rows:
    """The rows of ``features`` [N, D] scaled to Euclidean length 1, as float32; rows of zeros stay zero."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    rows: Rows = (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return rows


def mean_of_unit_rows(features: Rows) -> Rows:
    """The mean [D] of the rows after each was scaled to length 1: every clip of a video counts alike (CoCLR)."""
    return mean_row(unit_rows(features))


@frozen
class Centring:
    """A choice of the means that are subtracted from gallery [N, D] and queries [Q, D]."""

    words: str
    """Name of the centring in records."""
    apply: Callable[[Rows, Rows], tuple[Rows, Rows]]


def _by_gallery(gallery: Rows, queries: Rows) -> tuple[Rows, Rows]:
    mean = mean_row(gallery)
    return centre(gallery, mean), centre(queries, mean)


def _each(gallery: Rows, queries: Rows) -> tuple[Rows, Rows]:
    return centre(gallery, mean_row(gallery)), centre(queries, mean_row(queries))


BY_GALLERY = Centring("by the mean of the gallery, queries too", _by_gallery)
"""Centring of the method (section 8): the result of a query does not depend on the other queries."""
EACH_BY_ITSELF = Centring("gallery and queries each by their own mean", _each)
"""Centring of CoCLR's retrieval."""


def fused(parts: Sequence[Rows]) -> Rows:
    """Unit rows of n modalities [N, D_m] side by side and scaled by 1/√n: float32 [N, ΣD_m].

    The dot product of two fused rows is the mean of the modalities' cosines, because
    Σ_m (a_m/√n)·(b_m/√n) = (1/n)·Σ_m a_m·b_m. So one index searches several streams at once.
    """
    side_by_side: Rows = (np.concatenate(list(parts), axis=1) / np.sqrt(len(parts))).astype(np.float32)
    return side_by_side
