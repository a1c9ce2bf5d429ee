"""The contract of ``NeighbourIndex``, run on the fake and on FAISS."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes.index import BruteForceIndex
from vimix.ports.neighbour_index import NeighbourIndex
from vimix_adapters.indexes.faiss_index import FaissIndex

Factory = Callable[[int], NeighbourIndex]


@pytest.fixture(params=[BruteForceIndex, FaissIndex], scope="module")
def make(request: pytest.FixtureRequest) -> Factory:
    factory: Factory = request.param
    return factory


def naive(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Compare one query with all vectors in plain Python."""
    scored = [(-sum(float(a) * float(b) for a, b in zip(v, query, strict=True)), i) for i, v in enumerate(vectors)]
    return [(i, -s) for s, i in sorted((float(np.float32(s)), i) for s, i in scored)][:k]


def coarse_unit_vectors(rng: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    """Unit vectors with few possible values, so that there are many duplicates and ties."""
    rows = rng.integers(-1, 2, size=(count, dimension)).astype(np.float32)
    rows[:, 0] += (np.abs(rows).sum(axis=1) == 0).astype(np.float32)
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 40),
    query_count=st.integers(1, 40),
    dimension=st.integers(1, 5),
    k=st.integers(1, 60),
)
def test_the_nearest_are_those_of_a_naive_search_ties_and_duplicates_included(
    make: Factory, seed: int, count: int, query_count: int, dimension: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = coarse_unit_vectors(rng, count, dimension), coarse_unit_vectors(rng, query_count, dimension)
    index = make(dimension)
    index.add(vectors)
    found = index.search(queries, k)
    assert found.ids.shape == found.similarities.shape == (query_count, min(k, count))
    assert found.ids.dtype == np.int64
    assert found.similarities.dtype == np.float32
    for row, query in enumerate(queries):
        expected = naive(vectors, query, k)
        assert found.ids[row].tolist() == [i for i, _ in expected]
        assert found.similarities[row].tolist() == pytest.approx([s for _, s in expected], abs=1e-6)


@pytest.mark.parametrize("queries", [1, 64])
def test_many_equal_vectors_come_in_ascending_order_from_the_first(make: Factory, queries: int) -> None:
    """For 64 queries FAISS multiplies matrices, and the rounding depends on the position of a vector."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=(1, 129)).astype(np.float32)
    one /= np.linalg.norm(one)
    index = make(129)
    index.add(np.repeat(one, 1001, axis=0))
    found = index.search(np.repeat(one, queries, axis=0), 7)
    assert (found.ids == np.arange(7)).all()
    assert found.similarities == pytest.approx(np.ones((queries, 7)))


def test_ids_number_the_vectors_in_the_order_in_which_they_were_added(make: Factory) -> None:
    index = make(3)
    for row in np.eye(3, dtype=np.float32):
        index.add(row[None])
    assert len(index) == 3
    assert index.search(np.eye(3, dtype=np.float32)[[2, 0]], 1).ids.tolist() == [[2], [0]]


def test_a_zero_query_is_as_near_to_all(make: Factory) -> None:
    index = make(2)
    index.add(np.eye(2, dtype=np.float32))
    found = index.search(np.zeros((1, 2), np.float32), 2)
    assert found.ids.tolist() == [[0, 1]]
    assert found.similarities.tolist() == [[0.0, 0.0]]


def test_an_empty_index_and_a_k_below_one_are_refused(make: Factory) -> None:
    index = make(2)
    query = np.eye(2, dtype=np.float32)
    with pytest.raises(ValueError, match=r"."):
        index.search(query, 1)
    index.add(query)
    with pytest.raises(ValueError, match=r"."):
        index.search(query, 0)


def test_vectors_of_another_length_are_refused(make: Factory) -> None:
    index = make(2)
    with pytest.raises(ValueError, match=r"3"):
        index.add(np.ones((1, 3), np.float32))
    index.add(np.eye(2, dtype=np.float32))
    with pytest.raises(ValueError, match=r"3"):
        index.search(np.ones((1, 3), np.float32), 1)
