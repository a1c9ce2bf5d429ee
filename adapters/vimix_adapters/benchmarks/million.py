"""A million features: what the indexes need in memory and time. It takes minutes and some 9 GiB: on request only."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vimix_adapters.benchmarks.bench_settings import BenchSettings
from vimix_adapters.benchmarks.retrieval import K
from vimix_adapters.benchmarks.timing import Finding, Measure, TimedPair, interleaved, seconds
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.indexes.ivf_index import IvfIndex

TIMES = 10
"""As many features as ``settings.gallery``."""
PROBES = (8, 32, 128)
BLOCK = 50_000


def million(settings: BenchSettings) -> Iterator[Finding]:
    """Exact and approximate search in ten times the gallery, with recall by the number of cells probed."""
    index, count = IvfIndex(settings.features), TIMES * settings.gallery
    spent, queries = _fill(index, count, settings)
    yield Measure(f"adding {count} features", [spent], "s")
    yield Measure("memory with the exact index", [_resident()], "GiB")
    yield Measure("learning and filling the cells", [seconds(lambda: index._built(), settings.now)], "s")
    yield Measure("memory with both", [_resident()], "GiB")
    for probes in PROBES:
        index._built().nprobe = probes
        theirs, ours = interleaved(
            lambda: FaissIndex.search(index, queries, K), lambda: index.search(queries, K), 1, settings.now, warm_up=0
        )
        note = f"{settings.queries} queries in {count} x {settings.features}; recall@{K} {index.recall(queries, K):.3f}"
        yield TimedPair(f"IVF, {probes} cells probed", "exact search", theirs, ours, None, note=note)


def _fill(index: FaissIndex, count: int, settings: BenchSettings) -> tuple[float, NDArray[np.float32]]:
    """Add the features; the seconds it took, and queries. The features' own memory is given back."""
    vectors, queries = _features(count, settings)
    return seconds(lambda: index.add(vectors), settings.now), queries


def _features(count: int, settings: BenchSettings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[count, D] and [queries, D] unit rows around a centre for each 50 of them."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, count // 50), settings.features), dtype=np.float32)
    rows = np.empty((count + settings.queries, settings.features), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        part[:] = centres[rng.integers(0, len(centres), len(part))]
        part += 0.8 * rng.standard_normal(part.shape, dtype=np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows[:count], rows[count:].copy()


def _resident() -> float:
    """Memory of this process in GiB; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmRSS")), 0.0)
