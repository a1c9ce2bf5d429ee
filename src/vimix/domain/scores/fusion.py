"""Fusion of the class probabilities of several streams."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""Class probabilities [Q, C] float32, one video a row."""

SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
"""The smallest probability above 0 that float32 can hold."""


@frozen
class Fusion:
    """A way of fusing streams."""

    words: str
    """Name of the fusion in records."""
    fuse: Callable[[Sequence[Rows]], Rows]


def _mean_probability(streams: Sequence[Rows]) -> Rows:
    mean: Rows = np.stack(list(streams)).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _mean_logit(streams: Sequence[Rows]) -> Rows:
    """Softmax of the mean log-probability: log-probabilities are logits up to a constant a row.

    A probability that float32 rounds to 0 counts as the smallest one it can hold, so that a single stream has no veto.
    A class with probability 0 in all streams, such as one without training videos, keeps it.
    """
    probabilities = np.stack(list(streams)).astype(np.float64)
    logits = np.log(np.where(probabilities == 0, SMALLEST, probabilities)).mean(axis=0)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True)) * probabilities.any(axis=0)
    fused: Rows = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return fused


MEAN_PROBABILITY = Fusion("class probabilities averaged", _mean_probability)
"""Fusion of the method (section 8)."""
MEAN_LOGIT = Fusion("logits averaged", _mean_logit)
"""Fusion of CrosSCLR's two and three streams."""
