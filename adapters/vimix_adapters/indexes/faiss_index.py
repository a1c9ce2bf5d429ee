"""Exact nearest-neighbour search with FAISS."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix.ports.neighbour_index import Neighbours
from vimix.values.errors import VimixError

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]

ROUNDING = 1e-5
"""Cosines of FAISS that differ by less than this may be equal: its float32 sums depend on threads and kernels."""
BLOCK = 4096
"""Number of queries that FAISS searches for at a time. For each block it reads all vectors once."""
SPARE = 16
"""Number of candidates beyond k. With these, ties at rank k rarely need another pass over all vectors."""
CELLS = 2**23
"""Number of float64 values held at a time while similarities are summed again: 64 MiB."""


def faiss_module() -> Any:
    """Import FAISS late and after torch. In the other order their OpenMP libraries can crash each other.

    On macOS two OpenMP runtimes in one process crash with several threads (faiss issue 1977), so FAISS uses one there.
    """
    import torch  # noqa: F401  # its OpenMP library must be loaded first
    import faiss  # isort: skip

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    return faiss


class FaissIndex:
    """Implements ``NeighbourIndex`` with ``faiss.IndexFlatIP``: exact search by inner product.

    FAISS finds the candidates, and their similarities are summed again in float64. The results, ties included, do not
    depend on the number of threads, the batch of queries or the machine.
    """

    def __init__(self, dimension: int) -> None:
        """Make an empty index of vectors of length ``dimension``."""
        self._index = faiss_module().IndexFlatIP(dimension)

    @property
    def dimension(self) -> int:
        """Length D of a vector."""
        return int(self._index.d)

    def __len__(self) -> int:
        """Number of vectors N."""
        return int(self._index.ntotal)

    def add(self, vectors: Rows) -> None:
        """Add N L2-normalised vectors [N, D] float32. Raises ValueError for another D or non-finite values."""
        self._index.add(self._checked(vectors))

    def search(self, queries: Rows, k: int) -> Neighbours:
        """Return the min(k, N) nearest neighbours of each query [Q, D], best first, ties in ascending order of id.

        Raises ValueError for an empty index, k < 1, another D or non-finite values.
        """
        if len(self) == 0 or k < 1:
            raise ValueError(f"cannot search {len(self)} vectors for the {k} nearest: both must be at least 1")
        queries, k = self._checked(queries), min(k, len(self))
        ids, similarities = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        vectors = self._view()
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, start + BLOCK)
            ids[rows], similarities[rows] = self._search_block(queries[rows], k, vectors)
        return Neighbours(ids, similarities)

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return the index in FAISS's file format, [bytes] uint8."""
        data: NDArray[np.uint8] = faiss_module().serialize_index(self._index)
        return data

    @classmethod
    def from_bytes(cls, data: NDArray[np.uint8], name: str) -> "FaissIndex":
        """The inverse of ``to_bytes``. Raises VimixError naming ``name`` if the bytes are not an ``IndexFlatIP``."""
        faiss = faiss_module()
        try:
            index = faiss.deserialize_index(data)
        except Exception as error:
            raise VimixError(f"{name}: not a FAISS index, or a damaged one; build it again") from error
        if not isinstance(index, faiss.IndexFlatIP):
            raise VimixError(f"{name}: expected an exact inner-product index (IndexFlatIP), not {type(index).__name__}")
        self = cls.__new__(cls)
        self._index = index
        return self

    def _view(self) -> Rows:
        """Return all vectors [N, D] in FAISS's memory. The view is read-only and valid until the next ``add``."""
        memory = faiss_module().rev_swig_ptr(self._index.get_xb(), len(self) * self.dimension)
        view: Rows = memory.reshape(len(self), self.dimension)
        return view

    def _search_block(self, queries: Rows, k: int, vectors: Rows) -> tuple[Integers, Rows]:
        cosines, candidates = self._index.search(queries, min(k + SPARE, len(self)))
        ids, similarities = ranked(exact_similarities(queries, vectors, candidates[:, :k]), candidates[:, :k], k)
        if candidates.shape[1] == k:
            return ids, similarities
        # Where candidate k + 1 may tie with candidate k, FAISS may have ranked the higher id first.
        bound = cosines[:, k - 1] - ROUNDING
        close = np.flatnonzero(cosines[:, k] > bound)
        if len(close):
            more = candidates[close]
            ids[close], similarities[close] = ranked(exact_similarities(queries[close], vectors, more), more, k)
        # Where even the last candidate may tie (duplicates), there may be more ties than candidates.
        lost = (cosines[:, -1] > bound) & (candidates.shape[1] < len(self))
        for row in np.flatnonzero(lost):
            near = np.flatnonzero(vectors @ queries[row] >= bound[row])[None]
            one = slice(row, row + 1)
            ids[one], similarities[one] = ranked(exact_similarities(queries[one], vectors, near), near, k)
        return ids, similarities

    def _checked(self, rows: Rows) -> Rows:
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(f"expected vectors [N, {self.dimension}], got {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("a vector holds a value that is not finite")
        return np.ascontiguousarray(rows, dtype=np.float32)


def exact_similarities(queries: Rows, vectors: Rows, ids: Integers) -> Rows:
    """Return the similarities [Q, n] of each query with its candidates ``vectors[ids]``, summed in float64."""
    similarities = np.empty(ids.shape, np.float32)
    width = max(1, CELLS // queries.size)
    for start in range(0, ids.shape[1], width):
        columns = slice(start, start + width)
        own = vectors[ids[:, columns]].astype(np.float64)
        similarities[:, columns] = np.einsum("qd,qnd->qn", queries.astype(np.float64), own)
    return similarities


def ranked(similarities: Rows, ids: Integers, k: int) -> tuple[Integers, Rows]:
    """Return ids and similarities [Q, k] of the k best columns of each row, best first, ties in ascending id."""
    order = np.lexsort((ids, -similarities), axis=1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
