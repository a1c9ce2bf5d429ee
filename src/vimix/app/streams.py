"""Features of the same videos in several modalities."""

from collections.abc import Mapping

import numpy as np
from attrs import evolve

from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality

Streams = Mapping[Modality, VideoFeatures]


def checked_pair(gallery: Streams, queries: Streams, role: str) -> tuple[VideoFeatures, VideoFeatures]:
    """One modality of the gallery (or training set) and of the queries (or test set), after checks of all modalities.

    ``role`` names the gallery in messages (``gallery``, ``training set``). Raises VimixError if the two sides have
    different modalities, the modalities of a side list different videos, a video is on both sides, or has no label.
    """
    if not gallery or gallery.keys() != queries.keys():
        raise VimixError(
            f"the {role} has the modalities {sorted(gallery)}, the test videos {sorted(queries)}: give both the same"
        )
    first, second = _aligned(gallery), _aligned(queries)
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


def side_by_side(streams: Streams) -> dict[Modality, VideoFeatures]:
    """All streams as one, "rgb + flow": a row holds the features of all streams, one after the other.

    Raises VimixError if the streams list different videos.
    """
    rows = np.concatenate([stream.features for stream in streams.values()], axis=1)
    return {Modality(" + ".join(streams)): evolve(_aligned(streams), features=rows)}


def tested_siblings(gallery: VideoFeatures, queries: VideoFeatures) -> int:
    """Number of queries whose recording has another clip in the gallery."""
    return int(np.isin(queries.sources, gallery.sources).sum())


def _aligned(streams: Streams) -> VideoFeatures:
    """Any modality. Raises VimixError if the modalities list different videos."""
    first, *others = streams.values()
    for other in others:
        if not np.array_equal(first.videos, other.videos):
            raise VimixError(f"the modalities {sorted(streams)} were extracted from different videos or splits")
    return first
