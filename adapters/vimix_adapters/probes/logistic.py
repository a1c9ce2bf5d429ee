"""The linear probe as scikit-learn's logistic regression."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.ports.probe import ProbeOutcome
from vimix.values.errors import VimixError

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]

FOLDS = 4
"""Folds of the cross-validation that chooses the penalty."""
ENOUGH = 2000
"""Held-out videos with which a single fold settles the choice."""
SMALL = 2**21
"""Size of the features, N·D values, below which one thread is faster than several."""


@frozen
class LogisticProbe:
    """Implements ``vimix.ports.probe.LinearProbe``: standardised features, multinomial logistic regression, L2 penalty.

    The penalty is chosen by the cross-entropy of held-out training videos: over all folds of a cross-validation that
    keeps sources together, or over one fold if it holds ``ENOUGH`` videos. The stronger of two equal penalties wins.
    Then the probe is fitted to the whole training set. Accuracy would be too coarse to choose by: with thirty videos
    it often prefers the strongest penalty, whose flat probabilities count for nothing in the mean of two streams.
    """

    inverse_regularisations: Sequence[float] = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
    """Candidates for scikit-learn's C: the larger, the weaker the penalty."""
    max_iter: int = 2000
    """Limit of L-BFGS iterations; the record says whether they were enough."""

    def fit_predict(
        self, features: Rows, labels: Integers, sources: Integers, queries: Rows, seed: int
    ) -> ProbeOutcome:
        """Train on features [N, D] with labels [N] of recordings ``sources`` [N], predict the queries [Q, D].

        Raises VimixError for fewer than two classes.
        """
        if len(np.unique(labels)) < 2:
            raise VimixError("a linear probe needs training videos of at least two classes; name another split")
        folds, how = _held_out(labels, sources, seed)
        trials = [self._trial(features, labels, fold) for fold in folds]
        videos = sum(int(fold.sum()) for fold in folds)
        penalties = sorted(self.inverse_regularisations)
        losses = {c: sum(losses[c] for losses, _ in trials) / videos for c in penalties} if trials else {}
        # Without held-out videos the middle penalty; of equals, the smallest C.
        best = min(losses, key=lambda c: losses[c]) if losses else penalties[len(penalties) // 2]
        start = trials[-1][1][best] if trials else None
        scaler, model = _scaler(features), self._model(best, start)
        converged = _fit(model, scaler.transform(features.astype(np.float64)), labels)
        protocol = {
            "features": "standardised by the training set",
            "classifier": "multinomial logistic regression, L2 penalty, L-BFGS",
            "inverse_regularisations": list(self.inverse_regularisations),
            "max_iter": self.max_iter,
            "held_out": how,
            "held_out_videos": videos,
            "held_out_cross_entropy": {str(c): loss for c, loss in losses.items()},
            "inverse_regularisation": best,
            "converged": converged,
            "iterations": int(model.n_iter_.max()),
        }
        probabilities = np.zeros((len(queries), int(labels.max()) + 1), dtype=np.float32)
        # The model's columns are the labels that it was fitted to.
        probabilities[:, model.classes_] = model.predict_proba(scaler.transform(queries.astype(np.float64)))
        return ProbeOutcome(probabilities, protocol)

    def _trial(
        self, features: Rows, labels: Integers, held_out: NDArray[np.bool_]
    ) -> tuple[dict[float, float], dict[float, Any]]:
        """Summed cross-entropy in nats of the held-out videos, and the fitted model, for each penalty.

        Penalties are tried from the strongest to the weakest, each fit starting from the one before, in float32, which
        is precise enough for the choice. The final fit, in float64, starts from the chosen model.
        """
        scaler = _scaler(features[~held_out])
        x_fit, x_test = (scaler.transform(features[rows]).astype(np.float32) for rows in (~held_out, held_out))
        losses: dict[float, float] = {}
        models: dict[float, Any] = {}
        previous: Any = None
        for c in sorted(self.inverse_regularisations):
            previous = self._model(c, previous)
            _fit(previous, x_fit, labels[~held_out])
            losses[c], models[c] = _cross_entropy(previous, x_test, labels[held_out]), previous
        return losses, models

    def _model(self, c: float, start: Any) -> Any:
        """An unfitted model whose solver starts from the solution of ``start``, if there is one."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=c, max_iter=self.max_iter, warm_start=True)
        if start is not None:
            model.coef_, model.intercept_ = start.coef_.copy(), start.intercept_.copy()
        return model


def _scaler(features: Rows) -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(features.astype(np.float64))


def _fit(model: Any, features: Rows, labels: Integers) -> bool:
    """Fit the model in place; return whether the solver converged."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # A small product is done before a second thread has woken, and the thread pools of torch, NumPy and SciPy wait for
    # each other spinning: on two cores 560 x 256 features took 20 to 40 s with threads, 0.6 s without.
    threads = 1 if features.size < SMALL else None
    with threadpool_limits(threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features, labels)
    return not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _cross_entropy(model: Any, features: Rows, labels: Integers) -> float:
    """Cross-entropy in nats, summed over the videos."""
    with np.errstate(divide="ignore"):  # the logarithm of a probability that float64 rounds to 0 is -inf
        log_probabilities = model.predict_log_proba(features.astype(np.float64))
    own = log_probabilities[np.arange(len(labels)), np.searchsorted(model.classes_, labels)]
    return -float(np.maximum(own, -1000).sum())


def _held_out(labels: Integers, sources: Integers, seed: int) -> tuple[list[NDArray[np.bool_]], str]:
    """Masks [N] of the videos that each fold holds out, and a phrase for the record that says how they were chosen.

    Sources stay together if every class then keeps a training video. If a class has too few sources, the folds are made
    of videos: the choice of the penalty sees siblings, the test does not. If that fails too, there are no folds.
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
    """Indices (kept, held out) of each fold; empty if the splitter has too few videos."""
    if folds < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class smaller than the folds: the caller checks each fold
        try:
            return list(splitter(folds, shuffle=True, random_state=seed).split(labels, labels, groups))
        except ValueError:  # every class is smaller than the folds
            return []
