"""Errors of the linear probe on the page: confusion of classes, accuracy of each, and the most confident mistakes."""

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.domain.scores.accuracy import confusion

MISTAKES = 12
"""Most mistakes shown of an arm."""

Integers = NDArray[np.int64]


@frozen
class Mistake:
    """A test video for which the probe predicted a wrong class."""

    video: int
    """Number of the video on the page."""
    right: str
    """Name of its class."""
    predicted: str
    confidence: float
    """Probability of the predicted class, 0 to 1."""


@frozen
class Errors:
    """The errors of one arm and group of modalities."""

    recipe: str
    arm: str
    modality: str
    classes: Sequence[str]
    """Names of the classes that test videos have or were given."""
    confusion: Sequence[Sequence[int]]
    """[classes, classes]: row is the true class, column the predicted one, in numbers of test videos."""
    mistakes: Sequence[Mistake]


def most_confident_mistakes(probabilities: NDArray[np.float32], labels: Integers, most: int = MISTAKES) -> list[int]:
    """Rows of ``probabilities`` [Q, C] with the wrong class first, the most probable wrong class first."""
    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    return [int(row) for row in wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:most]]


def errors_of(
    titles: tuple[str, str, str],
    probabilities: NDArray[np.float32],
    labels: Integers,
    videos: Integers,
    classes: Sequence[str],
    number: Mapping[int, int],
) -> Errors:
    """The errors of predictions [Q, C] for Q videos; ``number`` maps videos of the store to the page's.

    ``titles`` are recipe, arm and modality. Classes that no test video has or was given are left out.
    """
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(probabilities, labels, len(classes))
    used = np.flatnonzero(matrix.any(axis=0) | matrix.any(axis=1))
    mistakes = [
        Mistake(
            number[int(videos[row])],
            classes[int(labels[row])],
            classes[int(predicted[row])],
            round(float(probabilities[row].max()), 4),
        )
        for row in most_confident_mistakes(probabilities, labels)
    ]
    names = [classes[int(at)] for at in used]
    return Errors(*titles, names, matrix[np.ix_(used, used)].tolist(), mistakes)
