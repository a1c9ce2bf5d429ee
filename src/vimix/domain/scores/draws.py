"""Draws of a part of the labelled videos, for accuracy with few labels."""

import numpy as np
from numpy.typing import NDArray


def balanced_draw(labels: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices, ascending, of ``fraction`` (above 0, at most 1) of the videos of each class: labels [N].

    A class with n videos gives round(fraction · n) of them, at least one, drawn without replacement. With a fraction
    of 1 all videos are taken. Raises ValueError for another fraction.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction is above 0 and at most 1, not {fraction}")
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = [rng.choice(own, max(1, round(fraction * len(own))), replace=False) for own in members]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
