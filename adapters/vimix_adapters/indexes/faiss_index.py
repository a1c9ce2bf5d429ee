"""Exact nearest-neighbour search with FAISS."""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix.ports.index import Neighbours
from vimix.values.errors import VimixError

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]

ROUNDING = 1e-5
"""Cosines that FAISS finds closer than this may be equal: its sums in float32 depend on its threads and kernels."""
BLOCK = 4096
"""Queries that FAISS is asked at a time: for each block it reads all vectors once."""
SPARE = 16
"""Candidates beyond k: among so many, ties at the last place are settled without reading all vectors again."""
CELLS = 2**23
"""Numbers of float64 held at a time while similarities are summed again: 64 MiB."""


def faiss_module() -> Any:
    """FAISS, imported late and after torch: the other way round their OpenMP libraries can crash each other.

    On macOS even two loaded runtimes are too many for threads (faiss issue 1977): there FAISS keeps to one.
    """
    import torch  # noqa: F401  # its OpenMP library must be the first
    import faiss  # isort: skip

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)
    return faiss


class FaissIndex:
    """``NeighbourIndex`` on ``faiss.IndexFlatIP``: every vector is compared, nothing is approximated.

    FAISS names the candidates; their similarities are then summed in float64, so that results, ties included, are
    the same whatever the number of threads, the batch of queries or the machine.
    """

    def __init__(self, dimension: int) -> None:
        """An empty index of vectors of length ``dimension``."""
        self._index = faiss_module().IndexFlatIP(dimension)

    @property
    def dimension(self) -> int:
        """D, the length of a vector."""
        return int(self._index.d)

    def __len__(self) -> int:
        """Number of vectors N."""
        return int(self._index.ntotal)

    def add(self, vectors: Rows) -> None:
        """Add N L2-normalised vectors [N, D] float32. Raises ValueError for another D or values not finite."""
        self._index.add(self._checked(vectors))

    def search(self, queries: Rows, k: int) -> Neighbours:
        """The min(k, N) nearest to each of the queries [Q, D], best first, ties in ascending order of id.

        Raises ValueError if the index is empty, k < 1, for another D or values not finite.
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
        """The index in FAISS's own file format, [bytes] uint8."""
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
        """All vectors [N, D], FAISS's own memory: not to be written to, nor kept beyond the next ``add``."""
        memory = faiss_module().rev_swig_ptr(self._index.get_xb(), len(self) * self.dimension)
        view: Rows = memory.reshape(len(self), self.dimension)
        return view

    def _search_block(self, queries: Rows, k: int, vectors: Rows) -> tuple[Integers, Rows]:
        found, candidates = self._index.search(queries, min(k + SPARE, len(self)))
        ids, similarities = ranked(paired(queries, vectors, candidates[:, :k]), candidates[:, :k], k)
        if candidates.shape[1] == k:
            return ids, similarities
        # Where the last place is tied with the first one left out, FAISS may have left out the lower id.
        bound = found[:, k - 1] - ROUNDING
        close = np.flatnonzero(found[:, k] > bound)
        if len(close):
            more = candidates[close]
            ids[close], similarities[close] = ranked(paired(queries[close], vectors, more), more, k)
        lost = (found[:, -1] > bound) & (candidates.shape[1] < len(self))
        for row in np.flatnonzero(lost):  # more ties than spare candidates: duplicates
            near = np.flatnonzero(vectors @ queries[row] >= found[row, k - 1] - ROUNDING)[None]
            one = slice(row, row + 1)
            ids[one], similarities[one] = ranked(paired(queries[one], vectors, near), near, k)
        return ids, similarities

    def _checked(self, rows: Rows) -> Rows:
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(f"expected vectors [N, {self.dimension}], got {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("a vector holds a value that is not finite")
        return np.ascontiguousarray(rows, dtype=np.float32)


def paired(queries: Rows, vectors: Rows, ids: Integers) -> Rows:
    """Similarities [Q, n] of each query [D] with its own n candidates ``vectors[ids]``, summed in float64."""
    similarities = np.empty(ids.shape, np.float32)
    width = max(1, CELLS // queries.size)
    for start in range(0, ids.shape[1], width):
        columns = slice(start, start + width)
        own = vectors[ids[:, columns]].astype(np.float64)
        similarities[:, columns] = np.einsum("qd,qnd->qn", queries.astype(np.float64), own)
    return similarities


def ranked(similarities: Rows, ids: Integers, k: int) -> tuple[Integers, Rows]:
    """The k best columns of each row, best first, ties in ascending order of id."""
    order = np.lexsort((ids, -similarities), axis=1)[:, :k]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
