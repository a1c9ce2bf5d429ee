"""Nearest neighbours by comparing everything with everything."""

import numpy as np
from numpy.typing import NDArray

from vimix.ports.neighbour_index import Neighbours


class BruteForceIndex:
    """``NeighbourIndex`` in a few lines of NumPy."""

    def __init__(self, dimension: int) -> None:
        self._vectors = np.empty((0, dimension), np.float32)

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, vectors: NDArray[np.float32]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"expected vectors [N, {self._vectors.shape[1]}], got {vectors.shape}")
        self._vectors = np.concatenate([self._vectors, vectors]).astype(np.float32)

    def search(self, queries: NDArray[np.float32], k: int) -> Neighbours:
        if len(self) == 0 or k < 1:
            raise ValueError("nothing to search")
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"expected queries [Q, {self._vectors.shape[1]}], got {queries.shape}")
        exact = (queries[:, None].astype(np.float64) * self._vectors[None]).sum(axis=2)
        similarities = exact.astype(np.float32)
        ids = np.argsort(-similarities, axis=1, kind="stable")[:, :k].astype(np.int64)
        return Neighbours(ids, np.take_along_axis(similarities, ids, axis=1))
