"""Retrieval and the linear probe over streams, against naive versions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from tests.fakes.index import BruteForceIndex
from tests.fakes.probe import NearestMeanProbe
from vimix.app.linear_probe import linear_probe
from vimix.app.retrieve import retrieve
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.probes import logistic
from vimix_adapters.probes.logistic import LogisticProbe

Streams = dict[Modality, VideoFeatures]


def streams(rng: np.random.Generator, count: int, first: int, classes: int = 4, spread: float = 1.0) -> Streams:
    """``count`` videos numbered from ``first`` upwards, with RGB [count, 5] and flow [count, 3] features."""
    labels = rng.integers(0, classes, count)
    labels[: min(count, classes)] = np.arange(min(count, classes))
    videos = first + rng.permutation(count)
    return {
        modality: VideoFeatures(
            features=(3 + np.eye(classes, width)[labels] + spread * rng.normal(size=(count, width))).astype(np.float32),
            labels=labels,
            sources=videos // 2,
            videos=videos,
        )
        for modality, width in ((RGB, 5), (FLOW, 3))
    }


def naive_similarities(gallery: Streams, queries: Streams) -> list[list[float]]:
    """The mean over streams of the cosine of features less the gallery's mean, pair by pair."""
    table = []
    for q in range(len(next(iter(queries.values())))):
        row = []
        for g in range(len(next(iter(gallery.values())))):
            cosines = []
            for modality in gallery:
                mean = gallery[modality].features.astype(np.float64).mean(axis=0)
                a, b = queries[modality].features[q] - mean, gallery[modality].features[g] - mean
                cosines.append(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))
            row.append(sum(cosines) / len(cosines))
        table.append(row)
    return table


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), gallery_size=st.integers(2, 30), queries=st.integers(1, 8), both=st.booleans())
@pytest.mark.parametrize("index", [BruteForceIndex, FaissIndex])
def test_retrieval_is_that_of_averaged_cosines(
    index: type[BruteForceIndex] | type[FaissIndex], seed: int, gallery_size: int, queries: int, both: bool
) -> None:
    rng = np.random.default_rng(seed)
    gallery, asked = streams(rng, gallery_size, 0), streams(rng, queries, 1000)
    if not both:
        del gallery[FLOW], asked[FLOW]
    result = retrieve(gallery, asked, index, ks=(1, 5, 20))
    table, labels = naive_similarities(gallery, asked), gallery[RGB].labels
    for k in (1, 5, 20):
        hits = 0
        for similarities, label in zip(table, asked[RGB].labels, strict=True):
            nearest = sorted(range(gallery_size), key=lambda g, s=similarities: -s[g])[:k]  # type: ignore[misc]
            hits += any(labels[g] == label for g in nearest)
        assert result.recall[k] == pytest.approx(hits / queries)
    place = {int(video): g for g, video in enumerate(gallery[RGB].videos)}
    for q in range(queries):
        assert result.similarities[q] == pytest.approx(sorted(table[q], reverse=True)[:20], abs=1e-5)
        named = [table[q][place[int(video)]] for video in result.neighbours[q]]
        assert named == pytest.approx(result.similarities[q], abs=1e-5)
        assert [labels[place[int(video)]] for video in result.neighbours[q]] == result.neighbour_labels[q].tolist()
    assert len(result.query_videos) == queries
    assert result.record["R@5"] == result.recall[5]


def test_retrieval_centres_by_the_gallery_alone_so_a_query_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    gallery, asked = streams(rng, 20, 0), streams(rng, 6, 1000)
    alone = {
        modality: VideoFeatures(part.features[:1], part.labels[:1], part.sources[:1], part.videos[:1])
        for modality, part in asked.items()
    }
    assert (
        retrieve(gallery, alone, BruteForceIndex).neighbours[0]
        == retrieve(gallery, asked, BruteForceIndex).neighbours[0]
    ).all()


def test_siblings_across_the_splits_are_counted() -> None:
    rng = np.random.default_rng(0)
    gallery, asked = streams(rng, 5, 0), streams(rng, 4, 5)  # sources 0 0 1 1 2 | 2 3 3 4
    assert retrieve(gallery, asked, BruteForceIndex).siblings == 1
    assert linear_probe(gallery, asked, NearestMeanProbe(), 0).siblings == 1


@pytest.mark.parametrize("use", ["retrieve", "probe"])
def test_streams_that_do_not_fit_are_refused(use: str) -> None:
    def score(known: Streams, asked: Streams) -> object:
        if use == "retrieve":
            return retrieve(known, asked, BruteForceIndex)
        return linear_probe(known, asked, NearestMeanProbe(), 0)

    rng = np.random.default_rng(0)
    known, asked = streams(rng, 8, 0), streams(rng, 4, 1000)
    with pytest.raises(VimixError, match=r"modalities"):
        score(known, {RGB: asked[RGB]})
    with pytest.raises(VimixError, match=r"different videos"):
        score({RGB: known[RGB], FLOW: streams(rng, 8, 20)[FLOW]}, asked)
    with pytest.raises(VimixError, match=r"do not overlap"):
        score(known, known)
    asked[RGB].labels[0] = -1
    with pytest.raises(VimixError, match=r"has no class"):
        score(known, asked)


def test_the_probe_averages_the_modalities_probabilities() -> None:
    rng = np.random.default_rng(1)
    train, test = (streams(rng, n, first, classes=9, spread=2.0) for n, first in ((40, 0), (30, 1000)))
    parts = [
        NearestMeanProbe()
        .fit_predict(train[m].features, train[m].labels, train[m].sources, test[m].features, 0)
        .probabilities
        for m in (RGB, FLOW)
    ]
    averaged = (parts[0] + parts[1]) / 2
    result = linear_probe(train, test, NearestMeanProbe(), seed=0)
    assert result.probabilities == pytest.approx(averaged, abs=1e-6)
    labels = test[RGB].labels
    assert result.top1 == pytest.approx((averaged.argmax(axis=1) == labels).mean())
    five = np.argsort(-averaged, axis=1)[:, :5]
    assert result.top5 == pytest.approx(np.mean([label in row for label, row in zip(labels, five, strict=True)]))
    assert 0 < result.top1 < result.top5 < 1  # the data are hard enough to tell them apart
    assert (result.train, len(result.test_videos)) == (40, 30)
    assert result.protocol["probe"] == {"rgb": {"classifier": "nearest class mean"}} | {
        "flow": {"classifier": "nearest class mean"}
    }


def noise_with_siblings(rng: np.random.Generator) -> VideoFeatures:
    """Features that tell the recording and nothing of the class: each recording of 8 videos has one class."""
    sources = np.repeat(np.arange(24), 8)
    centres = rng.normal(size=(24, 30))
    features = centres[sources] + 0.01 * rng.normal(size=(192, 30))
    return VideoFeatures(features.astype(np.float32), sources % 3, sources, np.arange(192))


def test_the_penalty_is_chosen_on_recordings_that_the_fit_did_not_see() -> None:
    """A choice by video would prefer the weakest penalty: siblings give the class away."""
    data, probe = noise_with_siblings(np.random.default_rng(0)), LogisticProbe((0.001, 1.0))
    protocol = probe.fit_predict(data.features, data.labels, data.sources, data.features, 0).protocol
    by_source = protocol["held_out_cross_entropy"]
    assert min(by_source.values()) > 0.5
    assert by_source["1.0"] > by_source["0.001"]
    assert protocol["inverse_regularisation"] == 0.001
    protocol = probe.fit_predict(data.features, data.labels, np.arange(192), data.features, 0).protocol
    by_video = protocol["held_out_cross_entropy"]
    assert by_video["1.0"] < 0.1
    assert protocol["inverse_regularisation"] == 1.0
    assert protocol["held_out_videos"] == 192


def naive_cross_entropy(data: VideoFeatures, folds: list[NDArray[np.int64]], c: float) -> float:
    """Mean over the held-out videos, one by one, of fits by scikit-learn from scratch."""
    total, count = 0.0, 0
    for held in folds:
        kept = np.setdiff1d(np.arange(len(data.labels)), held)
        mean, deviation = data.features[kept].mean(axis=0), data.features[kept].std(axis=0)
        model = LogisticRegression(C=c, max_iter=5000).fit((data.features[kept] - mean) / deviation, data.labels[kept])
        for video in held:
            told = model.predict_proba(((data.features[video] - mean) / deviation)[None])[0]
            total, count = total - math.log(told[list(model.classes_).index(data.labels[video])]), count + 1
    return total / count


def test_the_penalty_has_the_least_cross_entropy_over_all_quarters_of_a_small_training_set() -> None:
    """All videos are held out once; the numbers are those of a plain loop."""
    rng = np.random.default_rng(4)
    labels = np.repeat(np.arange(4), 12)
    features = (2 * np.eye(4, 6)[labels] + rng.normal(size=(48, 6))).astype(np.float32)
    data, penalties = VideoFeatures(features, labels, np.arange(48), np.arange(48)), (0.01, 0.1, 1.0, 100.0)
    probe = LogisticProbe(penalties)
    protocol = probe.fit_predict(features, labels, data.sources, features, 3).protocol
    splitter = StratifiedGroupKFold(4, shuffle=True, random_state=3)
    folds = [held for _, held in splitter.split(labels, labels, data.sources)]
    expected = {str(c): naive_cross_entropy(data, folds, c) for c in penalties}
    assert protocol["held_out_cross_entropy"] == pytest.approx(expected, rel=5e-3)
    assert protocol["inverse_regularisation"] == float(min(expected, key=lambda c: expected[c]))
    assert protocol["held_out_videos"] == 48


def test_one_quarter_is_enough_where_it_is_large(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "ENOUGH", 40)
    data, probe = noise_with_siblings(np.random.default_rng(0)), LogisticProbe((0.001, 1.0))
    protocol = probe.fit_predict(data.features, data.labels, np.arange(192), data.features, 0).protocol
    assert protocol["held_out_videos"] == pytest.approx(192 / 4, abs=2)


def test_a_penalty_with_flat_probabilities_is_not_chosen_for_as_many_hits() -> None:
    """Equal accuracy, and the stronger penalty tells next to nothing: what counts where streams are averaged."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 8)
    features = (8 * np.eye(4, 6)[labels] + rng.normal(size=(32, 6))).astype(np.float32)
    probe = LogisticProbe((1e-6, 1.0))
    outcome = probe.fit_predict(features, labels, np.arange(32), features, 0)
    assert outcome.protocol["inverse_regularisation"] == 1.0
    assert outcome.probabilities.max(axis=1).min() > 0.8, "flat ones would be near 1/4"


def test_classes_of_a_single_recording_are_held_out_by_video_and_a_single_video_not_at_all() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(24, 3)).astype(np.float32)
    labels = np.repeat(np.arange(3), 8)
    probe = LogisticProbe((0.01, 0.1, 1.0))
    protocol = probe.fit_predict(features, labels, labels, features, 0).protocol
    assert "by video" in str(protocol["held_out"])
    assert protocol["held_out_videos"] == 24
    protocol = probe.fit_predict(features[:3], np.arange(3), np.arange(3), features, 0).protocol
    assert protocol["held_out_videos"] == 0
    assert protocol["inverse_regularisation"] == 0.1


def test_a_fit_that_did_not_converge_says_so_in_the_record() -> None:
    data = noise_with_siblings(np.random.default_rng(0))
    for probe, converged in ((LogisticProbe((10.0,), max_iter=1), False), (LogisticProbe((10.0,)), True)):
        protocol = probe.fit_predict(data.features, data.labels, data.sources, data.features, 0).protocol
        assert protocol["converged"] is converged


def test_one_class_is_too_few_for_a_probe() -> None:
    rows, zeros = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    with pytest.raises(VimixError, match=r"two classes"):
        LogisticProbe().fit_predict(rows, zeros, zeros, rows, 0)
