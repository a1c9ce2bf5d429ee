"""Classification accuracy (section 8 of the method), and which classes are taken for which."""

import numpy as np
from numpy.typing import NDArray


def top_k_accuracy(probabilities: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> float:
    """Share, 0 to 1, of rows of ``probabilities`` [Q, C] with their label [Q] among the k most probable classes.

    Equal probabilities rank in ascending order of class. A label outside 0 ... C-1 (a class without training videos)
    is a miss. Raises ValueError for shapes that do not fit, no row,
    k < 1, or a probability that is not finite.
    """
    if probabilities.ndim != 2 or probabilities.shape[:1] != labels.shape or len(labels) == 0:
        raise ValueError(
            f"expected probabilities [Q, C] and labels [Q] with Q > 0, got {probabilities.shape} and {labels.shape}"
        )
    if k < 1:
        raise ValueError(f"k counts classes from 1, got {k}")
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
