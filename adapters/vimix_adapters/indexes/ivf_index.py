"""Approximate nearest-neighbour search for sets that are too large to compare every vector with every query."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix.ports.index import Neighbours
from vimix.values.errors import VimixError
from vimix_adapters.indexes.faiss_index import SPARE, FaissIndex, faiss_module, paired, ranked

Rows = NDArray[np.float32]

SMALLEST = 20_000
"""Below so many vectors the search is exact: it takes milliseconds."""
SAMPLE = 40
"""Vectors a cell that the cells are learned from."""
CHUNK = 65_536
"""Vectors assigned to cells at a time."""


class IvfIndex(FaissIndex):
    """``NeighbourIndex`` that looks only into the ``probes`` of 2·√N cells that are nearest to a query.

    The cells hold the vectors in half precision and name the candidates; similarities are those of the exact index.
    What is lost is neighbours in cells that were not looked into: ``recall`` measures it. Below ``smallest`` vectors,
    and for a query whose cells hold too few, the search is exact.
    """

    def __init__(self, dimension: int, probes: int = 32, seed: int = 0, smallest: int = SMALLEST) -> None:
        """An empty index; ``seed`` draws the sample that the cells are learned from."""
        super().__init__(dimension)
        self.probes, self._seed, self._smallest = probes, seed, smallest
        self._cells: Any = None

    def add(self, vectors: Rows) -> None:
        """Add N vectors [N, D]; the cells are learned anew at the next search."""
        super().add(vectors)
        self._cells = None

    def search(self, queries: Rows, k: int) -> Neighbours:
        """The k nearest among those looked at, best first, ties in ascending order of id."""
        if len(self) < max(self._smallest, 1) or k < 1:
            return super().search(queries, k)
        queries, k = self._checked(queries), min(k, len(self))
        cells = self._built()
        _, candidates = cells.search(queries, min(k + SPARE, len(self)))
        ids, similarities = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        short = (candidates < 0).any(axis=1)
        if not short.all():
            full = candidates[~short]
            ids[~short], similarities[~short] = ranked(paired(queries[~short], self._view(), full), full, k)
        if short.any():
            exact = super().search(queries[short], k)
            ids[short], similarities[short] = exact.ids, exact.similarities
        return Neighbours(ids, similarities)

    def recall(self, queries: Rows, k: int) -> float:
        """Share of the k nearest that ``search`` finds, the mean over the queries; 1 is exact."""
        found, exact = self.search(queries, k), FaissIndex.search(self, queries, k)
        shared = [len(np.intersect1d(one, two)) for one, two in zip(found.ids, exact.ids, strict=True)]
        return sum(shared) / exact.ids.size

    def cells_to_bytes(self) -> NDArray[np.uint8]:
        """The learned cells, [bytes] uint8; the vectors are apart (``to_bytes``)."""
        data: NDArray[np.uint8] = faiss_module().serialize_index(self._built())
        return data

    @classmethod
    def around(cls, exact: FaissIndex, cells: NDArray[np.uint8], name: str, probes: int = 32) -> "IvfIndex":
        """The vectors of ``exact`` with cells learned before. Raises VimixError if they do not belong together."""
        self = cls(exact.dimension, probes)
        self._index = exact._index
        try:
            self._cells = faiss_module().deserialize_index(cells)
        except Exception as error:
            raise VimixError(f"{name}: its cells are damaged; build it again") from error
        if self._cells.ntotal != len(exact) or self._cells.d != exact.dimension:
            raise VimixError(f"{name}: {self._cells.ntotal} vectors in cells, {len(exact)} in all; build it again")
        self._cells.nprobe = probes
        return self

    def _built(self) -> Any:
        if self._cells is None:
            self._cells = self._learned()
        return self._cells

    def _learned(self) -> Any:
        faiss, vectors = faiss_module(), self._view()
        count = max(1, min(round(2 * len(self) ** 0.5), len(self) // SAMPLE))
        metric, half = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_fp16
        quantiser = faiss.IndexFlatIP(self.dimension)
        cells = faiss.IndexIVFScalarQuantizer(quantiser, self.dimension, count, half, metric, False)
        cells.cp.seed, cells.cp.niter, cells.cp.spherical = self._seed + 1, 10, True
        rows = np.random.default_rng(self._seed).choice(len(self), min(len(self), SAMPLE * count), replace=False)
        cells.train(np.ascontiguousarray(vectors[np.sort(rows)]))
        for start in range(0, len(self), CHUNK):
            cells.add(np.ascontiguousarray(vectors[start : start + CHUNK]))
        cells.nprobe = self.probes
        return cells
