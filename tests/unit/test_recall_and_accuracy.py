"""Recall, accuracy and what is done to features, against the plainest versions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimix.app.linear_probe import balanced_draw
from vimix.domain.scores.accuracy import confusion, recall_at_k, top_k_accuracy
from vimix.domain.scores.feature_scaling import centre, fused, mean_row, unit_rows

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, queries=st.integers(1, 12), found=st.integers(1, 8), classes=st.integers(1, 5))
def test_recall_counts_queries_with_a_hit_among_the_first_k(seed: int, queries: int, found: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    neighbours, labels = rng.integers(0, classes, (queries, found)), rng.integers(0, classes, queries)
    result = recall_at_k(neighbours, labels, (1, 3, 20))
    for k in (1, 3, 20):
        hits = sum(1 for row, label in zip(neighbours.tolist(), labels.tolist(), strict=True) if label in row[:k])
        assert result[k] == pytest.approx(hits / queries)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 12), classes=st.integers(1, 7), k=st.integers(1, 9))
def test_accuracy_ranks_equal_probabilities_by_class(seed: int, rows: int, classes: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = (rng.integers(0, 4, (rows, classes)) / 4).astype(np.float32)
    labels = rng.integers(0, classes + 1, rows)  # one class more than was trained
    hits = 0
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        ranking = sorted(range(classes), key=lambda c, row=row: (-row[c], c))  # type: ignore[misc]
        hits += label in ranking[:k]
    assert top_k_accuracy(probabilities, labels, k) == pytest.approx(hits / rows)


def test_accuracy_of_a_probability_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match=r"finite"):
        top_k_accuracy(np.array([[np.nan, 0.5]], np.float32), np.array([0]), 1)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 12), trained=st.integers(1, 4))
def test_confusions_are_counted_by_class_and_their_trace_is_the_accuracy(seed: int, rows: int, trained: int) -> None:
    rng, classes = np.random.default_rng(seed), 5
    probabilities = (rng.integers(0, 3, (rows, trained)) / 3).astype(np.float32)
    labels = rng.integers(0, classes, rows)
    counts = confusion(probabilities, labels, classes)
    for i in range(classes):
        for j in range(classes):
            pairs = zip(labels.tolist(), probabilities.tolist(), strict=True)
            assert counts[i, j] == sum(1 for label, row in pairs if label == i and row.index(max(row)) == j)
    assert np.trace(counts) / rows == pytest.approx(top_k_accuracy(probabilities, labels, 1))


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), fraction=st.floats(0.001, 1))
def test_a_draw_takes_its_fraction_of_every_class_and_no_video_twice(seed, counts, fraction) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(3 * np.arange(len(counts)), counts))  # labels have gaps
    drawn = balanced_draw(labels, fraction, rng)
    assert sorted(set(drawn.tolist())) == drawn.tolist()
    for label, count in zip(3 * np.arange(len(counts)), counts, strict=True):
        assert int((labels[drawn] == label).sum()) == max(1, round(fraction * count))
    assert balanced_draw(labels, 1.0, rng).tolist() == list(range(len(labels)))


def test_two_draws_differ_and_a_seed_draws_the_same_again() -> None:
    labels = np.repeat([0, 1], 50)
    first, again, other = (balanced_draw(labels, 0.1, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, rows=st.integers(1, 6), width=st.integers(1, 5))
def test_unit_rows_have_length_one_and_zero_rows_stay_zero(seed: int, rows: int, width: int) -> None:
    features = np.random.default_rng(seed).normal(size=(rows + 1, width)).astype(np.float32) * 1e3
    features[-1] = 0
    result = unit_rows(features)
    assert result.dtype == np.float32
    assert np.linalg.norm(result[:-1], axis=1) == pytest.approx(np.ones(rows), abs=1e-5)
    assert (result[-1] == 0).all()
    lengths = np.linalg.norm(features[:-1], axis=1, keepdims=True)
    assert np.allclose(result[:-1] * lengths, features[:-1], rtol=1e-4)


def test_centred_features_have_mean_zero_and_others_are_moved_alike() -> None:
    features = np.random.default_rng(0).normal(3, 1, size=(50, 4)).astype(np.float32)
    mean = mean_row(features)
    assert mean.dtype == np.float32
    assert centre(features, mean).mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-5)
    assert centre(features[:1] + 1, mean) == pytest.approx(centre(features[:1], mean) + 1, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, streams=st.integers(1, 3))
def test_the_dot_product_of_fused_rows_is_the_mean_of_the_streams_cosines(seed: int, streams: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 6, streams)
    gallery = [unit_rows(rng.normal(size=(7, w)).astype(np.float32)) for w in widths]
    queries = [unit_rows(rng.normal(size=(3, w)).astype(np.float32)) for w in widths]
    queries[0][0] = 0  # a stream without a direction has cosine 0 with everything
    averaged = np.mean([q @ g.T for q, g in zip(queries, gallery, strict=True)], axis=0)
    assert fused(queries) @ fused(gallery).T == pytest.approx(averaged, abs=1e-5)
