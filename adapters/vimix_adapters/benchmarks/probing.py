"""The linear probe against scikit-learn's fastest solver."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.bench_settings import BenchSettings
from vimix_adapters.benchmarks.timing import Finding, TimedPair, interleaved

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]

NOISE = 10
"""Of the features, in deviations of the classes' means: so much that they overlap."""


def probing(settings: BenchSettings) -> Iterator[Finding]:
    """The same choice of a penalty on the same held-out quarter, and a last fit, by scikit-learn as it is."""
    recipe = config.Recipe(name="bench", data=config.Data(store=""), modalities={"rgb": config.ModalitySettings()})
    penalties = recipe.evaluate.probe_inverse_regularisation
    rng = np.random.default_rng(0)
    labels = rng.integers(0, settings.probe_classes, 2 * settings.probe_videos)
    centres = rng.standard_normal((settings.probe_classes, settings.features), dtype=np.float32)
    features = centres[labels] + NOISE * rng.standard_normal((len(labels), settings.features), dtype=np.float32)
    known, asked = np.split(features, 2)
    truth, answers = np.split(labels, 2)
    sources = np.arange(len(known))
    accuracies: dict[str, float] = {}

    def theirs() -> None:
        accuracies["theirs"] = _sklearn(known, truth, asked, answers, penalties)

    def ours() -> None:
        found = wiring.build_probe(recipe).fit_predict(known, truth, sources, asked, 0).probabilities
        accuracies["ours"] = float((found.argmax(axis=1) == answers).mean())

    one, two = interleaved(theirs, ours, 1, settings.now, warm_up=0)
    note = (
        f"{settings.probe_videos} x {settings.features}, {settings.probe_classes} classes, {len(penalties)} penalties; "
    )
    note += f"accuracy {accuracies['ours']:.3f}, theirs {accuracies['theirs']:.3f}"
    yield TimedPair("linear probe", "scikit-learn: L-BFGS, float32", one, two, 1.5, faster=False, note=note)


def _sklearn(known: Rows, truth: Labels, asked: Rows, answers: Labels, penalties: Sequence[float]) -> float:
    """Accuracy on the asked, of the penalty with the least cross-entropy on a held-out quarter."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    kept, held = next(iter(StratifiedKFold(4, shuffle=True, random_state=0).split(known, truth)))
    scale = StandardScaler().fit(known[kept])
    inner, outer = scale.transform(known[kept]), scale.transform(known[held])
    best = min(penalties, key=lambda c: log_loss(truth[held], _fitted(c, inner, truth[kept]).predict_proba(outer)))
    scale = StandardScaler().fit(known)
    return float(_fitted(best, scale.transform(known), truth).score(scale.transform(asked), answers))


def _fitted(c: float, features: Rows, labels: Labels) -> Any:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=c, max_iter=2000).fit(features, labels)
