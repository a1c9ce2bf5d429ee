"""Several modalities of the same videos, side by side."""

from collections.abc import Mapping

import numpy as np

from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality

Streams = Mapping[Modality, VideoFeatures]


def checked_pair(known: Streams, unknown: Streams, role: str) -> tuple[VideoFeatures, VideoFeatures]:
    """Any one modality of the known and of the unknown videos, after checks that all modalities agree.

    ``role`` names the known videos in messages (``gallery``, ``training set``). Raises VimixError if the modalities
    differ, a modality lists other videos than another, a video stands on both sides, or a label is unknown.
    """
    if not known or known.keys() != unknown.keys():
        raise VimixError(f"the {role} has the modalities {sorted(known)}, the test videos {sorted(unknown)}: give both")
    first, second = _aligned(known), _aligned(unknown)
    shared = np.intersect1d(first.videos, second.videos)
    if len(shared):
        raise VimixError(
            f"{len(shared)} videos are both in the {role} and tested (the first: number {shared[0]}): "
            "each would be recognised as itself; use splits that do not overlap"
        )
    for features in (first, second):
        if (features.labels < 0).any():
            raise VimixError(
                f"video number {features.videos[features.labels < 0][0]} has no class: scores need labelled videos"
            )
    return first, second


def tested_siblings(known: VideoFeatures, unknown: VideoFeatures) -> int:
    """Number of tested videos of whose recording the known videos hold another clip."""
    return int(np.isin(unknown.sources, known.sources).sum())


def _aligned(streams: Streams) -> VideoFeatures:
    first, *others = streams.values()
    for other in others:
        if not np.array_equal(first.videos, other.videos):
            raise VimixError(f"the modalities {sorted(streams)} were extracted from different videos or splits")
    return first
