"""The approximate index: nearly what the exact one finds, with exact similarities."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.indexes.ivf_index import IvfIndex


def clustered(seed: int, count: int = 3000, dimension: int = 16) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    rows = np.random.default_rng(7).normal(size=(40, dimension))[rng.integers(0, 40, count)]
    rows = rows + rng.normal(size=rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def pair() -> tuple[FaissIndex, IvfIndex]:
    exact, approximate = FaissIndex(16), IvfIndex(16, probes=8, smallest=0)
    for index in (exact, approximate):
        index.add(clustered(0))
    return exact, approximate


def test_few_cells_find_nearly_all_neighbours_and_all_cells_find_all(pair) -> None:
    exact, approximate = pair
    queries = clustered(1, 200)
    shares = {}
    for probes in (1, 8, 1000):
        approximate._built().nprobe = probes
        shares[probes] = approximate.recall(queries, 10)
        found = approximate.search(queries, 10)
        pairs = zip(found.ids, exact.search(queries, 10).ids, strict=True)
        expected = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
        assert shares[probes] == pytest.approx(expected)
    assert 0.2 < shares[1] < 0.8 < shares[8] < shares[1000] == 1.0


def test_similarities_are_exact_and_in_order(pair) -> None:
    _, approximate = pair
    queries = clustered(2, 50)
    found = approximate.search(queries, 7)
    products = (queries[:, None].astype(np.float64) * clustered(0)[found.ids]).sum(axis=2)
    assert found.similarities == pytest.approx(products, abs=1e-6)
    assert (np.diff(found.similarities, axis=1) <= 0).all()


def test_where_cells_hold_too_few_the_search_is_exact(pair) -> None:
    exact, approximate = pair
    approximate._built().nprobe = 1
    queries = clustered(3, 5)
    found, expected = approximate.search(queries, 2500), exact.search(queries, 2500)
    assert (found.ids == expected.ids).all()


def test_cells_are_learned_once_come_back_from_bytes_and_belong_to_their_vectors(pair) -> None:
    exact, approximate = pair
    cells = approximate.cells_to_bytes()
    again = IvfIndex.around(exact, cells, "it", probes=8)
    again._smallest = 0
    approximate._built().nprobe = 8
    queries = clustered(4, 20)
    assert (again.search(queries, 5).ids == approximate.search(queries, 5).ids).all()
    with pytest.raises(VimixError, match="build it again"):
        IvfIndex.around(exact, cells[:100], "it")
    other = FaissIndex(16)
    other.add(clustered(5, 10))
    with pytest.raises(VimixError, match="3000 vectors in cells, 10 in all"):
        IvfIndex.around(other, cells, "it")


def test_the_same_seed_learns_the_same_cells() -> None:
    found = []
    for _ in range(2):
        index = IvfIndex(16, probes=2, smallest=0)
        index.add(clustered(0))
        found.append(index.search(clustered(1, 30), 5).ids)
    assert (found[0] == found[1]).all()
