"""The linear probe."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
"""Class probabilities [Q, classes], one query a row; column c stands for label c."""


@frozen(eq=False)
class ProbeOutcome:
    """Predictions of a trained probe for Q queries, and a record of its training."""

    probabilities: Probabilities
    protocol: Mapping[str, object]
    """Every setting, and every choice that training made, as plain data for the record."""
    by_epoch: Mapping[int, Probabilities] = field(factory=dict)
    """Predictions after single epochs, counted from 0; empty for a probe without epochs."""


class LinearProbe(Protocol):
    """One linear layer and a softmax on frozen features."""

    def fit_predict(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        sources: NDArray[np.int64],
        queries: NDArray[np.float32],
        seed: int,
    ) -> ProbeOutcome:
        """Train on features [N, D] with labels [N]; predict the queries [Q, D]. ``classes`` is max(labels) + 1.

        Hyper-parameters are chosen on a part of the training set held out by ``sources`` [N] (siblings stay together).
        A class without training videos has probability 0. Raises VimixError for fewer than two classes.
        """
        ...
