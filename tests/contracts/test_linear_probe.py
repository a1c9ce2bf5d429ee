"""What every ``LinearProbe`` must do; run on the fake, on logistic regression and on the peers' SGD."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.fakes.probe import NearestMeanProbe
from vimix.ports.probe import LinearProbe
from vimix_adapters.commands.scores import OnceProbe
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.probes.logistic import LogisticProbe
from vimix_adapters.probes.sgd import SgdProbe

Factory = Callable[[], LinearProbe]
Data = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


def sgd() -> SgdProbe:
    return SgdProbe(LinearSgd(lr=1.0, weight_decay=1e-4, batch=8, epochs=40, milestones=(30,), first_tested=4))


def normalising_sgd() -> SgdProbe:
    return SgdProbe(LinearSgd(lr=1.0, weight_decay=1e-4, batch=8, epochs=40, milestones=(30,), batch_norm=True))


def once() -> OnceProbe:
    return OnceProbe(NearestMeanProbe())


@pytest.fixture(params=[NearestMeanProbe, LogisticProbe, sgd, normalising_sgd, once], scope="module")
def make(request: pytest.FixtureRequest) -> Factory:
    factory: Factory = request.param
    return factory


def clusters(rng: np.random.Generator, classes: list[int], each: int, noise: float = 0.05) -> Data:
    """``each`` videos a class around corners far apart, every two of them siblings."""
    labels = np.repeat(np.array(classes, dtype=np.int64), each)
    features = 5 * np.eye(max(classes) + 1, 7)[labels] + noise * rng.normal(size=(len(labels), 7))
    return features.astype(np.float32), labels, np.arange(len(labels)) // 2


@pytest.mark.slow
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), classes=st.sets(st.integers(0, 6), min_size=2, max_size=4), each=st.integers(8, 12))
def test_probabilities_of_separable_data_add_up_to_one_and_are_right(
    make: Factory, seed: int, classes: set[int], each: int
) -> None:
    rng = np.random.default_rng(seed)
    features, labels, sources = clusters(rng, sorted(classes), each)
    order = rng.permutation(len(labels))
    queries, expected, _ = clusters(rng, sorted(classes), 3)
    result = make().fit_predict(features[order], labels[order], sources[order], queries, seed).probabilities
    assert result.shape == (len(queries), max(classes) + 1)
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.sum(axis=1) == pytest.approx(np.ones(len(queries)), abs=1e-5)
    assert result.argmax(axis=1).tolist() == expected.tolist()


@pytest.mark.parametrize("each", [1, 2, 3])
def test_a_handful_of_videos_is_enough_for_probabilities(make: Factory, each: int) -> None:
    features, labels, sources = clusters(np.random.default_rng(0), [0, 1, 2], each)
    result = make().fit_predict(features, labels, sources, features, 0).probabilities
    assert result.sum(axis=1) == pytest.approx(np.ones(len(features)), abs=1e-5)
    assert result.argmax(axis=1).tolist() == labels.tolist()


def test_a_column_stands_for_its_label_and_an_unseen_class_has_no_probability(make: Factory) -> None:
    features, labels, sources = clusters(np.random.default_rng(0), [1, 4], 8)
    result = make().fit_predict(features, labels, sources, features, 0).probabilities
    assert result.shape == (16, 5)
    assert (result[:, [0, 2, 3]] == 0).all()
    assert (result[:8, 1] > 0.5).all()
    assert (result[8:, 4] > 0.5).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_probabilities(make: Factory) -> None:
    rng = np.random.default_rng(3)
    features, labels, sources = clusters(rng, [0, 1, 2], 12, noise=5.0)
    queries = rng.normal(size=(9, 7)).astype(np.float32)
    first, again = (make().fit_predict(features, labels, sources, queries, 5).probabilities for _ in range(2))
    assert (first == again).all()


@pytest.mark.slow
def test_an_outcome_names_the_classifier_and_stays_as_it_is_when_the_probe_is_used_again(make: Factory) -> None:
    probe, rng = make(), np.random.default_rng(0)
    features, labels, sources = clusters(rng, [0, 1], 4)
    outcome = probe.fit_predict(features, labels, sources, features, 0)
    protocol, probabilities = json.dumps(dict(outcome.protocol)), outcome.probabilities.copy()
    assert isinstance(outcome.protocol["classifier"], str)
    probe.fit_predict(*clusters(rng, [0, 1, 2], 7), features, 1)
    assert json.dumps(dict(outcome.protocol)) == protocol
    assert (outcome.probabilities == probabilities).all()


def test_predictions_by_epoch_are_probabilities_in_the_form_of_the_result(make: Factory) -> None:
    features, labels, sources = clusters(np.random.default_rng(0), [0, 1], 4)
    outcome = make().fit_predict(features, labels, sources, features, 0)
    for found in outcome.by_epoch.values():
        assert (found.shape, found.dtype) == (outcome.probabilities.shape, outcome.probabilities.dtype)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    last = outcome.protocol.get("epochs", 0) - 1
    if last in outcome.by_epoch:
        assert (outcome.by_epoch[last] == outcome.probabilities).all()
