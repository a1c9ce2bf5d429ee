"""The linear probe."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class LinearProbe(Protocol):
    """One linear layer and a softmax on frozen features."""

    def probabilities(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        sources: NDArray[np.int64],
        queries: NDArray[np.float32],
        seed: int,
    ) -> NDArray[np.float32]:
        """Train on features [N, D] with labels [N]; class probabilities [Q, classes] of the queries [Q, D].

        Hyper-parameters are chosen on a part of the training set held out by ``sources`` [N] (siblings stay together).
        Column c stands for label c, c in 0 ... max(labels).
        """
        ...

    @property
    def protocol(self) -> dict[str, object]:
        """Every setting, and those that were chosen, for the record."""
        ...
