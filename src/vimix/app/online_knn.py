"""What features are worth while their encoder is still being trained (Fig. 2)."""

from collections.abc import Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from vimix.app.extract import extract_features
from vimix.app.parallel import SingleProcess
from vimix.domain.scores.knn import knn_accuracy
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import Network
from vimix.ports.process_group import ProcessGroup


@frozen(eq=False)
class OnlineKnn:
    """Measures kNN accuracy between two steps; it draws nothing at random and leaves the network as it was.

    In a group each member brings the clips of some videos: did one measure alone, the others would give it up for lost.
    """

    network: Network
    gallery: EvaluationClips
    queries: EvaluationClips
    sources: Sequence[int] | NDArray[np.int64]
    neighbours: int
    batch: int = 16
    group: ProcessGroup = field(factory=SingleProcess)

    def __call__(self) -> dict[str, float]:
        """``{"knn_accuracy": ...}``, 0 to 1."""
        known, asked = (
            extract_features(self.network, clips, self.sources, self.batch, group=self.group)
            for clips in (self.gallery, self.queries)
        )
        accuracy = knn_accuracy(known.features, known.labels, asked.features, asked.labels, self.neighbours)
        return {"knn_accuracy": accuracy}
