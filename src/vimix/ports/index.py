"""Nearest neighbours."""

from typing import Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


@frozen(eq=False)
class Neighbours:
    """For Q queries their k nearest of N: ``ids`` [Q, k] int64, ``similarities`` [Q, k] float32, best first.

    Equal similarities come in ascending order of id.
    """

    ids: NDArray[np.int64]
    similarities: NDArray[np.float32]


class NeighbourIndex(Protocol):
    """Cosine similarity search; ids number the vectors in the order in which they were added."""

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add N L2-normalised vectors [N, D]. Raises ValueError for another D."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> Neighbours:
        """The min(k, N) nearest to each of the queries [Q, D]. Raises ValueError if the index is empty or k < 1."""
        ...

    def __len__(self) -> int:
        """Number of vectors N."""
        ...
