"""The linear probe as logistic regression of scikit-learn."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from vimix.values.errors import VimixError

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]

FOLDS = 4
"""The training set is held out in quarters."""
ENOUGH = 2000
"""Held-out videos with which one quarter settles the choice."""
SMALL = 2**21
"""Values of features [N, D] below which one thread is faster than several."""


@define
class LogisticProbe:
    """``LinearProbe``: standardised features, multinomial logistic regression with an L2 penalty, solved to the end.

    The penalty is chosen by the cross-entropy of held-out training videos whose sources the fit did not see: of all
    quarters in turn, or of one where it holds ``ENOUGH`` (equally good: the stronger penalty). Then the probe is fitted
    to the whole training set. Test videos choose nothing. Accuracy would be too coarse to choose by: of thirty videos
    it often prefers the strongest penalty, whose flat probabilities count for nothing beside another stream's.
    """

    inverse_regularisations: Sequence[float] = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
    """Values of scikit-learn's C that are tried: the larger, the weaker the penalty."""
    max_iter: int = 2000
    """L-BFGS iterations; whether they were enough is in the record."""
    _chosen: dict[str, object] = field(factory=dict, init=False)

    def probabilities(self, features: Rows, labels: Integers, sources: Integers, queries: Rows, seed: int) -> Rows:
        """Class probabilities [Q, max(labels) + 1] float32 of ``queries`` [Q, D], trained on ``features`` [N, D].

        A class without training videos has probability 0. Raises VimixError for fewer than two classes.
        """
        if len(np.unique(labels)) < 2:
            raise VimixError("a linear probe needs training videos of at least two classes; name another split")
        quarters, how = _held_out(labels, sources, seed)
        tried = [self._tried(features, labels, quarter) for quarter in quarters]
        videos = sum(int(quarter.sum()) for quarter in quarters)
        penalties = sorted(self.inverse_regularisations)
        losses = {c: sum(losses[c] for losses, _ in tried) / videos for c in penalties} if tried else {}
        # Without anything to choose by, the middle; of equals, the smallest C.
        best = min(losses, key=lambda c: losses[c]) if losses else penalties[len(penalties) // 2]
        start = tried[-1][1][best] if tried else None
        scaler, model = _scaler().fit(features.astype(np.float64)), self._model(best, start)
        converged = _fitted(model, scaler.transform(features.astype(np.float64)), labels)
        self._chosen = {
            "held_out": how,
            "held_out_videos": videos,
            "held_out_cross_entropy": {str(c): loss for c, loss in losses.items()},
            "inverse_regularisation": best,
            "converged": converged,
            "iterations": int(model.n_iter_.max()),
        }
        return _by_label(model, scaler.transform(queries.astype(np.float64)), int(labels.max()) + 1)

    @property
    def protocol(self) -> dict[str, object]:
        """Every setting, and what the last fit chose."""
        return {
            "features": "standardised by the training set",
            "classifier": "multinomial logistic regression, L2 penalty, L-BFGS",
            "inverse_regularisations": list(self.inverse_regularisations),
            "max_iter": self.max_iter,
            **self._chosen,
        }

    def _tried(
        self, features: Rows, labels: Integers, held_out: NDArray[np.bool_]
    ) -> tuple[dict[float, float], dict[float, Any]]:
        """Summed cross-entropy of the held-out videos in nats by penalty, and each fitted model.

        From the strongest penalty to the weakest, each fit goes on from the one before; in float32, which is enough to
        choose by. The last fit, in float64, starts from the chosen one.
        """
        scaler = _scaler().fit(features[~held_out].astype(np.float64))
        known, asked = (scaler.transform(features[rows]).astype(np.float32) for rows in (~held_out, held_out))
        losses: dict[float, float] = {}
        models: dict[float, Any] = {}
        previous: Any = None
        for c in sorted(self.inverse_regularisations):
            previous = self._model(c, previous)
            _fitted(previous, known, labels[~held_out])
            losses[c], models[c] = _cross_entropy(previous, asked, labels[held_out]), previous
        return losses, models

    def _model(self, c: float, start: Any) -> Any:
        """An unfitted model that starts from another's solution, where there is one."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=c, max_iter=self.max_iter, warm_start=True)
        if start is not None:
            model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
        return model


def _scaler() -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()


def _fitted(model: Any, features: Rows, labels: Integers) -> bool:
    """Fit; whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Small products are done before a second thread has woken, and threads of several pools (torch's, NumPy's, SciPy's)
    # wait for each other spinning: on two cores 560 x 256 features took 20 to 40 s with threads, 0.6 s without.
    threads = 1 if features.size < SMALL else None
    with threadpool_limits(threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features, labels)
    return not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _cross_entropy(model: Any, features: Rows, labels: Integers) -> float:
    """Of all the videos together, in nats."""
    told = model.predict_log_proba(features.astype(np.float64))
    # Of a video that is told wrong beyond float64's reach the surprise is finite all the same.
    return -float(np.maximum(told[np.arange(len(labels)), np.searchsorted(model.classes_, labels)], -1000).sum())


def _held_out(labels: Integers, sources: Integers, seed: int) -> tuple[list[NDArray[np.bool_]], str]:
    """Masks [N] of the training videos that are held out in turn, and how they were found, in words.

    Sources stay together where that leaves every class something to be trained on; else (each source shows few of
    the classes) videos do, and the choice of the penalty, not the test, sees siblings; else none are.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    grouped = (StratifiedGroupKFold, sources, "in quarters of the training set, sources kept together")
    single = (StratifiedKFold, None, "in quarters of the training set by video: a class has too few sources")
    for splitter, groups, how in (grouped, single):
        folds = min(FOLDS, len(labels) if groups is None else len(np.unique(sources)))
        masks = [
            np.isin(np.arange(len(labels)), held)
            for kept, held in _folds(splitter, folds, labels, groups, seed)
            if len(held) and len(np.unique(labels[kept])) == len(np.unique(labels))
        ]
        if masks:
            return (masks[:1] if masks[0].sum() >= ENOUGH else masks), how
    return [], "nothing: a class has a single video; the middle penalty was taken"


def _folds(
    splitter: Any, folds: int, labels: Integers, groups: Integers | None, seed: int
) -> list[tuple[Integers, Integers]]:
    """Indices (kept, held out) of each fold; none where the splitter has too few videos."""
    if folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class smaller than the folds: the caller checks each fold
        try:
            return list(splitter(folds, shuffle=True, random_state=seed).split(labels, labels, groups))
        except ValueError:  # every class is smaller than the folds
            return []


def _by_label(model: Any, queries: NDArray[np.float64], classes: int) -> Rows:
    """Probabilities with column c for label c; the model's own columns are the labels that it saw."""
    result = np.zeros((len(queries), classes), dtype=np.float32)
    result[:, model.classes_] = model.predict_proba(queries)
    return result
