"""The linear probe: what a linear layer reads from frozen features (section 8 of the method)."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.accuracy import top_k_accuracy
from vimix.domain.scores.fusion import MEAN_PROBABILITY, Fusion
from vimix.ports.probe import LinearProbe
from vimix.values.modality import Modality
from vimix.values.scores import ProbeScores


def linear_probe(
    train: Streams, test: Streams, probe: LinearProbe, seed: int, fusion: Fusion = MEAN_PROBABILITY
) -> ProbeScores:
    """Top-1 and top-5 accuracy on the test videos of a probe trained on the training videos, one for each modality.

    The modalities' class probabilities are fused, any number of them. No setting is chosen on the test
    videos. Raises VimixError if the modalities do not describe the same videos, a video is on both sides, or one has no
    label.
    """
    known, asked = checked_pair(train, test, "training set")
    streams, protocol = [], {}
    for modality, features in train.items():
        streams.append(
            probe.probabilities(features.features, known.labels, known.sources, test[modality].features, seed)
        )
        protocol[str(modality)] = dict(probe.protocol)
    probabilities = fusion.fuse(streams)
    return ProbeScores(
        top1=top_k_accuracy(probabilities, asked.labels, 1),
        top5=top_k_accuracy(probabilities, asked.labels, 5),
        train=len(known),
        test_videos=asked.videos,
        test_labels=asked.labels,
        probabilities=probabilities,
        siblings=tested_siblings(known, asked),
        protocol={"modalities": fusion.words, "probe": protocol},
    )


def best_epoch(
    snapshots: Mapping[Modality, Mapping[int, NDArray[np.float32]]], labels: NDArray[np.int64], fusion: Fusion
) -> tuple[int, float]:
    """The epoch, and its top-1 accuracy, that is best on the test videos themselves: the first of equals.

    ``snapshots`` maps a modality to its probabilities [Q, C] by epoch. This is how the peers report; it chooses on test
    and flatters, so a record must say what it is.
    """
    epochs = sorted(set.intersection(*(set(stream) for stream in snapshots.values())))
    scores = {
        epoch: top_k_accuracy(fusion.fuse([stream[epoch] for stream in snapshots.values()]), labels, 1)
        for epoch in epochs
    }
    best = max(epochs, key=lambda epoch: (scores[epoch], -epoch))
    return best, scores[best]
