"""The linear probe: what a linear layer reads from frozen features (section 8 of the method)."""

import numpy as np

from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.accuracy import top_k_accuracy
from vimix.ports.probe import LinearProbe
from vimix.values.scores import ProbeScores


def linear_probe(train: Streams, test: Streams, probe: LinearProbe, seed: int) -> ProbeScores:
    """Top-1 and top-5 accuracy on the test videos of a probe trained on the training videos, one for each modality.

    The modalities' class probabilities are averaged. No setting is chosen on the test videos. Raises VimixError if
    the modalities do not describe the same videos, a video is on both sides, or one has no label.
    """
    known, asked = checked_pair(train, test, "training set")
    streams, protocol = [], {}
    for modality, features in train.items():
        streams.append(
            probe.probabilities(features.features, known.labels, known.sources, test[modality].features, seed)
        )
        protocol[str(modality)] = dict(probe.protocol)
    probabilities = np.stack(streams).mean(axis=0, dtype=np.float64).astype(np.float32)
    return ProbeScores(
        top1=top_k_accuracy(probabilities, asked.labels, 1),
        top5=top_k_accuracy(probabilities, asked.labels, 5),
        train=len(known),
        test_videos=asked.videos,
        test_labels=asked.labels,
        probabilities=probabilities,
        siblings=tested_siblings(known, asked),
        protocol={"modalities": "class probabilities averaged", "probe": protocol},
    )
