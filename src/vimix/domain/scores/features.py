"""What is done to features before they are compared by cosine (section 8 of the method)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""Features [N, D] float32, one a row."""


def mean_row(features: Rows) -> Rows:
    """The mean [D] float32 of the rows of ``features`` [N, D], summed in float64."""
    mean: Rows = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def centre(features: Rows, mean: Rows) -> Rows:
    """``features`` [N, D] less ``mean`` [D], as float32 [N, D]."""
    centred: Rows = (features - mean).astype(np.float32, copy=False)
    return centred


def unit_rows(features: Rows) -> Rows:
    """The rows of ``features`` [N, D] scaled to Euclidean length 1, as float32; rows of zeros stay zero."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    rows: Rows = (features / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return rows


def fused(parts: Sequence[Rows]) -> Rows:
    """Unit rows of n modalities [N, D_m] side by side and scaled by 1/√n: float32 [N, ΣD_m].

    The dot product of two fused rows is the mean of the modalities' cosines, for
    Σ_m (a_m/√n)·(b_m/√n) = (1/n)·Σ_m a_m·b_m. One index so searches several streams at once.
    """
    side_by_side: Rows = (np.concatenate(list(parts), axis=1) / np.sqrt(len(parts))).astype(np.float32)
    return side_by_side
