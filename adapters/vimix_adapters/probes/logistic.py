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
"""A quarter of the training set is held out."""


@define
class LogisticProbe:
    """``LinearProbe``: standardised features, multinomial logistic regression with an L2 penalty, solved to the end.

    The penalty is chosen on a quarter of the training set whose sources the fit did not see (best accuracy; equally
    good: the stronger penalty), then the probe is fitted to the whole training set. Test videos choose nothing.
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
        held_out, how = _hold_out(labels, sources, seed)
        accuracies = {c: self._accuracy(c, features, labels, held_out) for c in self.inverse_regularisations}
        # Without anything to choose by, the middle; of equals, the smallest C.
        middle = sorted(accuracies)[len(accuracies) // 2]
        best = min(accuracies, key=lambda c: (-accuracies[c], c)) if held_out.any() else middle
        model, converged, iterations = self._fit(best, features, labels)
        self._chosen = {
            "held_out": how,
            "held_out_videos": int(held_out.sum()),
            "held_out_accuracy": {str(c): accuracy for c, accuracy in accuracies.items()} if held_out.any() else {},
            "inverse_regularisation": best,
            "converged": converged,
            "iterations": iterations,
        }
        return _by_label(model, queries, int(labels.max()) + 1)

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

    def _accuracy(self, c: float, features: Rows, labels: Integers, held_out: NDArray[np.bool_]) -> float:
        if not held_out.any():
            return 0.0
        model, _, _ = self._fit(c, features[~held_out], labels[~held_out])
        return float((model.predict(features[held_out].astype(np.float64)) == labels[held_out]).mean())

    def _fit(self, c: float, features: Rows, labels: Integers) -> tuple[Any, bool, int]:
        """The fitted model, whether it converged, and its iterations."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=self.max_iter))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(features.astype(np.float64), labels)
        converged = not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        return model, converged, int(model[-1].n_iter_.max())


def _hold_out(labels: Integers, sources: Integers, seed: int) -> tuple[NDArray[np.bool_], str]:
    """Which training videos [N] are held out, and how they were found, in words.

    Sources stay together where that leaves every class something to be trained on; else (each source shows few of
    the classes) videos do, and the choice of the penalty, not the test, sees siblings; else none are.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    grouped = (StratifiedGroupKFold, sources, "a quarter of the training set, sources kept together")
    single = (StratifiedKFold, None, "a quarter of the training set by video: a class has too few sources")
    for splitter, groups, how in (grouped, single):
        folds = min(FOLDS, len(labels) if groups is None else len(np.unique(sources)))
        for kept, held in _folds(splitter, folds, labels, groups, seed):
            if len(held) and len(np.unique(labels[kept])) == len(np.unique(labels)):
                mask = np.zeros(len(labels), dtype=bool)
                mask[held] = True
                return mask, how
    return np.zeros(len(labels), dtype=bool), "nothing: a class has a single video; the middle penalty was taken"


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


def _by_label(model: Any, queries: Rows, classes: int) -> Rows:
    """Probabilities with column c for label c; the model's own columns are the labels that it saw."""
    result = np.zeros((len(queries), classes), dtype=np.float32)
    result[:, model.classes_] = model.predict_proba(queries.astype(np.float64))
    return result
