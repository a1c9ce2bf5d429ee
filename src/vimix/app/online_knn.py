"""kNN accuracy of an encoder while it is being trained (Fig. 2)."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.app.feature_extraction import extract_features
from vimix.app.parallel import SINGLE_PROCESS
from vimix.domain.scores.accuracy import knn_accuracy
from vimix.ports.callback import Callback
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import Network
from vimix.ports.process_group import ProcessGroup


@frozen(eq=False)
class OnlineKnn(Callback):
    """Measures kNN accuracy at the ends of epochs. It draws no random numbers and leaves the network as it was.

    In a group each rank extracts features of some of the videos. If one rank measured alone, the others would time out.
    """

    network: Network
    gallery: EvaluationClips
    queries: EvaluationClips
    sources: Sequence[int] | NDArray[np.int64]
    """Number of the recording of each video of the store."""
    neighbours: int
    """The k of kNN."""
    batch: int = 16
    """Clips that pass the network at a time."""
    group: ProcessGroup = SINGLE_PROCESS
    every: int = 1
    """Epochs between two measurements."""
    epochs: int = 0
    """Epochs of the stage: the last one is always measured."""
    name: str = "knn_accuracy"
    """Name of the number in the row of metrics."""

    def measures_after(self, epoch: int) -> bool:
        """Whether ``epoch``, counted from 1, is a multiple of ``every`` or the last one."""
        return epoch % self.every == 0 or epoch == self.epochs

    def measure(self) -> dict[str, float]:
        """The accuracy, 0 to 1, by ``name``."""
        gallery, queries = (
            extract_features(self.network, clips, self.sources, self.batch, group=self.group)
            for clips in (self.gallery, self.queries)
        )
        accuracy = knn_accuracy(gallery.features, gallery.labels, queries.features, queries.labels, self.neighbours)
        return {self.name: accuracy}
