"""What features are worth while their encoder is still being trained (Fig. 2)."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.app.extract import extract_features
from vimix.domain.scores.knn import knn_accuracy
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import Network


@frozen(eq=False)
class NeighbourWatch:
    """Measures kNN accuracy between two steps; it draws nothing at random and leaves the network as it was."""

    network: Network
    gallery: EvaluationClips
    queries: EvaluationClips
    sources: Sequence[int] | NDArray[np.int64]
    neighbours: int
    batch: int = 16

    def __call__(self) -> dict[str, float]:
        """``{"knn_accuracy": ...}``, 0 to 1."""
        known, asked = (
            extract_features(self.network, clips, self.sources, self.batch) for clips in (self.gallery, self.queries)
        )
        accuracy = knn_accuracy(known.features, known.labels, asked.features, asked.labels, self.neighbours)
        return {"knn_accuracy": accuracy}
