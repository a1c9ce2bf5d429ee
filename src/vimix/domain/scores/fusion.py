"""Several streams' class probabilities as one."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Rows = NDArray[np.float32]
"""Class probabilities [Q, C] float32, one video a row."""


@frozen
class Fusion:
    """A way of fusing streams, and its name in the record."""

    words: str
    fuse: Callable[[Sequence[Rows]], Rows]


def _mean_probability(streams: Sequence[Rows]) -> Rows:
    mean: Rows = np.stack(list(streams)).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _mean_logit(streams: Sequence[Rows]) -> Rows:
    """Softmax of the mean log-probability: a stream's logits are its log-probabilities up to a constant a row."""
    with np.errstate(divide="ignore"):
        logits = np.log(np.stack(list(streams)).astype(np.float64)).mean(axis=0)
    best = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(best), best, 0))
    total = weights.sum(axis=1, keepdims=True)
    fused: Rows = np.where(total > 0, weights / np.where(total > 0, total, 1), 1 / logits.shape[1]).astype(np.float32)
    return fused


MEAN_PROBABILITY = Fusion("class probabilities averaged", _mean_probability)
"""Section 8 of the method."""
MEAN_LOGIT = Fusion("logits averaged", _mean_logit)
"""CrosSCLR's two and three streams."""
