"""Benchmark of the index against bare FAISS."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vimix_adapters.benchmarks.timing import BenchSettings, Finding, TimedPair, interleaved
from vimix_adapters.indexes.faiss_index import FaissIndex, faiss_module

K = 20


def retrieval(settings: BenchSettings) -> Iterator[Finding]:
    """Time the search of the K nearest neighbours of each query in a filled index."""
    rng = np.random.default_rng(0)
    vectors, queries = _unit_rows(rng, settings.gallery, settings), _unit_rows(rng, settings.queries, settings)
    bare = faiss_module().IndexFlatIP(settings.features)
    bare.add(vectors)
    ours_index = FaissIndex(settings.features)
    ours_index.add(vectors)
    theirs, ours = interleaved(
        lambda: bare.search(queries, K), lambda: ours_index.search(queries, K), settings.repeats, settings.now
    )
    note = f"{settings.queries} queries in {settings.gallery} x {settings.features}, {K} nearest, ties in order"
    yield TimedPair("exact retrieval", "bare FAISS (IndexFlatIP)", theirs, ours, 1.2, faster=False, note=note)


def _unit_rows(rng: np.random.Generator, count: int, settings: BenchSettings) -> NDArray[np.float32]:
    """Return unit rows [count, D] clustered around 1000 centres, as features of videos are. Noise has no neighbours."""
    centres = rng.standard_normal((1000, settings.features), dtype=np.float32)
    rows = centres[rng.integers(0, 1000, count)]
    rows += 0.8 * rng.standard_normal(rows.shape, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
