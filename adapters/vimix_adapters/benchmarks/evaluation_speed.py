"""Benchmarks of the evaluation: the index against bare FAISS, the linear probe against scikit-learn."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.timing import BenchSettings, Finding, TimedPair, interleaved
from vimix_adapters.indexes.faiss_index import FaissIndex, faiss_module

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]

K = 20
"""Neighbours of a query."""
NOISE = 10
"""Standard deviation of the features around their class mean; that of the class means is 1, so classes overlap."""


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


def _unit_rows(rng: np.random.Generator, count: int, settings: BenchSettings) -> Rows:
    """Return unit rows [count, D] clustered around 1000 centres, as features of videos are. Noise has no neighbours."""
    centres = rng.standard_normal((1000, settings.features), dtype=np.float32)
    rows = centres[rng.integers(0, 1000, count)]
    rows += 0.8 * rng.standard_normal(rows.shape, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def probing(settings: BenchSettings) -> Iterator[Finding]:
    """Time the probe and plain scikit-learn: both choose a penalty on the same held-out quarter and fit again."""
    recipe = config.Recipe(name="bench", data=config.Data(store=""), modalities={"rgb": config.ModalitySettings()})
    penalties = recipe.evaluate.probe_inverse_regularisation
    rng = np.random.default_rng(0)
    labels = rng.integers(0, settings.probe_classes, 2 * settings.probe_videos)
    centres = rng.standard_normal((settings.probe_classes, settings.features), dtype=np.float32)
    features = centres[labels] + NOISE * rng.standard_normal((len(labels), settings.features), dtype=np.float32)
    train, test = np.split(features, 2)
    train_labels, test_labels = np.split(labels, 2)
    sources = np.arange(len(train))
    accuracies: dict[str, float] = {}

    def theirs() -> None:
        accuracies["theirs"] = _sklearn(train, train_labels, test, test_labels, penalties)

    def ours() -> None:
        predicted = wiring.build_probe(recipe).fit_predict(train, train_labels, sources, test, 0).probabilities
        accuracies["ours"] = float((predicted.argmax(axis=1) == test_labels).mean())

    one, two = interleaved(theirs, ours, 1, settings.now, warm_up=0)
    note = (
        f"{settings.probe_videos} x {settings.features}, {settings.probe_classes} classes, {len(penalties)} penalties; "
    )
    note += f"accuracy {accuracies['ours']:.3f}, theirs {accuracies['theirs']:.3f}"
    yield TimedPair("linear probe", "scikit-learn: L-BFGS, float32", one, two, 1.5, faster=False, note=note)


def _sklearn(train: Rows, train_labels: Labels, test: Rows, test_labels: Labels, penalties: Sequence[float]) -> float:
    """Return the test accuracy with the penalty of the least cross-entropy on a held-out quarter."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    kept, held = next(iter(StratifiedKFold(4, shuffle=True, random_state=0).split(train, train_labels)))
    scale = StandardScaler().fit(train[kept])
    inner, outer = scale.transform(train[kept]), scale.transform(train[held])
    best = min(
        penalties,
        key=lambda c: log_loss(train_labels[held], _fitted(c, inner, train_labels[kept]).predict_proba(outer)),
    )
    scale = StandardScaler().fit(train)
    return float(_fitted(best, scale.transform(train), train_labels).score(scale.transform(test), test_labels))


def _fitted(c: float, features: Rows, labels: Labels) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=c, max_iter=2000).fit(features, labels)
