"""Likeness of modalities and retrieval across them, against naive computations."""

from itertools import combinations, permutations

import numpy as np
import pytest

from tests.fakes.index import BruteForceIndex
from vimix.app.cross_modal_matrix import cross_modal
from vimix.app.retrieve import retrieve
from vimix.domain.scores.cross_modal import chance_recall, linear_cka, mutual_neighbours
from vimix.values.features import VideoFeatures
from vimix.values.modality import FLOW, RGB, Modality


def rows(count: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def hsic_of_quadruples(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased HSIC as what it is: a mean over all ordered quadruples of different videos."""
    k, m = one @ one.T, other @ other.T
    terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in permutations(range(len(one)), 4)]
    return float(np.mean(terms))


def test_cka_is_that_of_a_mean_over_all_quadruples_of_videos() -> None:
    one, other = rows(7, 3, 0).astype(np.float64), rows(7, 5, 1).astype(np.float64)
    other[:, :3] += one
    naive = hsic_of_quadruples(one, other) / np.sqrt(hsic_of_quadruples(one, one) * hsic_of_quadruples(other, other))
    assert linear_cka(one.astype(np.float32), other.astype(np.float32)) == pytest.approx(naive, abs=1e-5)


def test_cka_ignores_rotation_scale_and_shift_and_finds_nothing_in_noise() -> None:
    one = rows(40, 8, 0)
    turn, _ = np.linalg.qr(rows(8, 8, 1))
    assert linear_cka(one, (3 * one @ turn + 5).astype(np.float32)) == pytest.approx(1, abs=1e-4)
    assert abs(linear_cka(rows(200, 64, 2), rows(200, 64, 3))) < 0.05
    assert linear_cka(one, np.ones((40, 2), np.float32)) == 0


def test_mutual_neighbours_are_those_of_a_loop_over_videos() -> None:
    one, other, k = rows(9, 4, 0), rows(9, 3, 1), 3

    def nearest(features: np.ndarray, i: int) -> set[int]:
        centred = features - features.mean(axis=0)
        cosines = [
            -np.inf if j == i else centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j])
            for j in range(len(features))
        ]
        return set(np.argsort(cosines)[-k:])

    naive = np.mean([len(nearest(one, i) & nearest(other, i)) / k for i in range(9)])
    assert mutual_neighbours(one, other, k) == pytest.approx(naive)
    assert mutual_neighbours(one, one * 2, k) == 1


def test_recall_by_chance_counts_all_draws() -> None:
    gallery, queries = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 3])
    for k in (1, 2, 3):
        draws = list(combinations(range(5), k))
        naive = np.mean([any(gallery[at] == label for at in draw) for label in queries for draw in draws])
        assert chance_recall(gallery, queries, [k])[k] == pytest.approx(naive)
    assert chance_recall(gallery, queries[:2], [20])[20] == 1


def features(seed: int, videos: range, size: int, shared: np.ndarray | None = None) -> VideoFeatures:
    numbers = np.arange(videos.start, videos.stop)
    found = rows(len(videos), size, seed) if shared is None else shared + 0.1 * rows(len(videos), size, seed)
    return VideoFeatures(found, numbers % 3, numbers, numbers)


def test_the_diagonal_is_plain_retrieval_and_unequal_lengths_have_no_recall() -> None:
    other = Modality("joint")
    gallery = {RGB: features(0, range(12), 6), FLOW: features(1, range(12), 6), other: features(2, range(12), 4)}
    queries = {m: features(3 + i, range(12, 21), gallery[m].features.shape[1]) for i, m in enumerate(gallery)}
    found = cross_modal(gallery, queries, BruteForceIndex, (1, 5))
    cells = {(cell.queries, cell.gallery): cell for cell in found.cells}
    assert len(cells) == 9
    for m in gallery:
        assert cells[m, m].recall == retrieve({m: gallery[m]}, {m: queries[m]}, BruteForceIndex, (1, 5)).recall
        assert cells[m, m].cka == pytest.approx(1)
    assert cells[RGB, other].recall == {}
    assert cells[RGB, FLOW].cka == pytest.approx(cells[FLOW, RGB].cka)
    assert cells[RGB, FLOW].recall != cells[FLOW, RGB].recall
    assert {"R@5 rgb to flow", "CKA rgb and flow", "R@1 by chance"} <= found.record.keys()
    assert "R@1 rgb to joint" not in found.record


def test_modalities_in_one_space_find_each_other() -> None:
    shared = rows(21, 6, 0)
    gallery = {RGB: features(1, range(12), 6, shared[:12]), FLOW: features(2, range(12), 6, shared[:12] + 4)}
    queries = {RGB: features(3, range(12, 21), 6, shared[12:]), FLOW: features(4, range(12, 21), 6, shared[12:] + 4)}
    cells = {(c.queries, c.gallery): c for c in cross_modal(gallery, queries, BruteForceIndex, (1,)).cells}
    assert cells[RGB, FLOW].recall[1] == pytest.approx(cells[RGB, RGB].recall[1], abs=0.34)
    assert cells[RGB, FLOW].cka > 0.9
    assert cells[RGB, FLOW].mutual > 0.7
