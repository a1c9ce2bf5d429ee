"""Nearest-neighbour search."""

from typing import Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


@frozen(eq=False)
class Neighbours:
    """The k nearest of N vectors for each of Q queries, best first; equal similarities in ascending order of id."""

    ids: NDArray[np.int64]
    """[Q, k] int64."""
    similarities: NDArray[np.float32]
    """[Q, k] float32, cosines."""


class NeighbourIndex(Protocol):
    """Search by cosine similarity. The id of a vector is its position in the order of adding."""

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Add N L2-normalised vectors [N, D]. Raises ValueError for another D."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> Neighbours:
        """The min(k, N) nearest vectors to each query of [Q, D]. Raises ValueError for an empty index or k < 1."""
        ...

    def __len__(self) -> int:
        """Number of vectors N."""
        ...
