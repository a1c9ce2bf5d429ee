"""The linear probe: accuracy of a linear layer trained on frozen features (section 8 of the method)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.accuracy import top_k_accuracy
from vimix.domain.scores.fusion import MEAN_PROBABILITY, Fusion
from vimix.ports.probe import LinearProbe, Probabilities
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality
from vimix.values.predictions import ProbeScores


def linear_probe(
    train: Streams, test: Streams, probe: LinearProbe, seed: int, fusion: Fusion = MEAN_PROBABILITY
) -> ProbeScores:
    """Top-1 and top-5 accuracy on the test videos of a probe trained on the training videos, one probe a modality.

    The class probabilities of all modalities are fused. No setting is chosen on the test videos. Raises VimixError if
    the modalities list different videos, a video is in both sets, or a video has no label.
    """
    trained_on, tested = checked_pair(train, test, "training set")
    outcomes = {
        modality: probe.fit_predict(
            features.features, trained_on.labels, trained_on.sources, test[modality].features, seed
        )
        for modality, features in train.items()
    }
    probabilities = fusion.fuse([outcome.probabilities for outcome in outcomes.values()])
    return ProbeScores(
        top1=top_k_accuracy(probabilities, tested.labels, 1),
        top5=top_k_accuracy(probabilities, tested.labels, 5),
        train=len(trained_on),
        test_videos=tested.videos,
        test_labels=tested.labels,
        probabilities=probabilities,
        siblings=tested_siblings(trained_on, tested),
        protocol={
            "modalities": fusion.words,
            "probe": {str(modality): dict(outcome.protocol) for modality, outcome in outcomes.items()},
        },
    )


def probe_on_fraction(
    train: Streams, test: Streams, probe: LinearProbe, fraction: float, seed: int, fusion: Fusion = MEAN_PROBABILITY
) -> ProbeScores:
    """The linear probe trained on ``fraction`` (above 0, at most 1) of the training videos of each class.

    ``seed`` draws the videos, at least one a class, and is the probe's own seed. Raises VimixError as ``linear_probe``.
    """
    labels = next(iter(train.values())).labels
    kept = balanced_draw(labels, fraction, np.random.default_rng(seed))
    return linear_probe({m: _rows(features, kept) for m, features in train.items()}, test, probe, seed, fusion)


def balanced_draw(labels: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices, ascending, of ``fraction`` (above 0, at most 1) of the videos of each class: labels [N].

    A class with n videos gives round(fraction · n) of them, at least one, drawn without replacement. With a fraction
    of 1 all videos are taken.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = [rng.choice(own, max(1, round(fraction * len(own))), replace=False) for own in members]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _rows(features: VideoFeatures, kept: NDArray[np.int64]) -> VideoFeatures:
    return VideoFeatures(features.features[kept], features.labels[kept], features.sources[kept], features.videos[kept])


def best_epoch(
    by_epoch: Mapping[Modality, Mapping[int, Probabilities]], labels: NDArray[np.int64], fusion: Fusion
) -> tuple[int, float]:
    """The epoch with the highest top-1 accuracy on the test videos (the earliest of equals), and that accuracy.

    ``by_epoch`` maps a modality to its ``ProbeOutcome.by_epoch``. The peers report this figure. It is chosen on the
    test videos and therefore too high, so a record must say how it was chosen.
    """
    epochs = sorted(set.intersection(*(set(stream) for stream in by_epoch.values())))
    accuracies = {
        epoch: top_k_accuracy(fusion.fuse([stream[epoch] for stream in by_epoch.values()]), labels, 1)
        for epoch in epochs
    }
    best = max(epochs, key=lambda epoch: (accuracies[epoch], -epoch))
    return best, accuracies[best]
