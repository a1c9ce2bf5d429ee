"""Features of whole videos, the same for every evaluation (section 8 of the method)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from vimix.app.team import Alone, collected, in_company
from vimix.domain.scores.features import mean_row
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import FeatureExtractor
from vimix.ports.team import Team
from vimix.values.clips import VideoClips
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures, VideoFeatures

Rows = NDArray[np.float32]


def extract_features(
    network: FeatureExtractor,
    clips: EvaluationClips,
    sources: Sequence[int] | NDArray[np.int64],
    batch: int = 16,
    pool: Callable[[Rows], Rows] = mean_row,
    team: Team | None = None,
) -> VideoFeatures:
    """One feature a video: ``pool``, the mean, over its windows' clip features, before the projection head.

    ``sources[v]`` numbers the recording of the store's video v. ``batch`` clips go through the network at a time.
    In a team each member brings the clips of some videos, and all get the features of all, in order of rank.
    Raises VimixError if there is no video, or a feature is not finite (the training diverged).
    """
    team = team or Alone()
    features, labels, videos = [], [], []
    for video, parts in groupby(in_company(_parts(network, clips, batch), team), key=lambda part: part[0].video):
        known = list(parts)
        features.append(pool(np.concatenate([rows for _, rows in known])))
        labels.append(known[0][0].label)
        videos.append(video)
    features, labels, videos = collected(features, labels, videos, team)
    numbers = np.array(videos, dtype=np.int64)
    return VideoFeatures(
        features=_stacked(features),
        labels=np.array(labels, dtype=np.int64),
        sources=np.asarray(sources, dtype=np.int64)[numbers],
        videos=numbers,
    )


def extract_clip_features(network: FeatureExtractor, clips: EvaluationClips, batch: int = 16) -> ClipFeatures:
    """One feature a clip, with the first frame of its window: what an index that tells places in time is made of.

    Raises VimixError if there is no video, or a feature is not finite (the training diverged).
    """
    features: list[Rows] = []
    videos: list[int] = []
    starts: list[int] = []
    for video, rows in _parts(network, clips, batch):
        features.extend(rows)
        videos.extend([video.video] * len(rows))
        starts.extend(video.starts)
    return ClipFeatures(
        features=_stacked(features),
        videos=np.array(videos, dtype=np.int64),
        starts=np.array(starts, dtype=np.int64),
    )


def _parts(network: FeatureExtractor, clips: EvaluationClips, batch: int) -> Iterator[tuple[VideoClips, Rows]]:
    """Videos, or parts of long ones, with their clips' features; short ones share a batch: single clips are slow."""
    waiting: list[VideoClips] = []
    for video in clips.videos():  # in one crop
        waiting.append(video)
        if sum(len(some.clips) for some in waiting) >= batch:
            yield from _together(network, waiting, batch)
            waiting = []
    if waiting:
        yield from _together(network, waiting, batch)


def _together(network: FeatureExtractor, videos: Sequence[VideoClips], batch: int) -> Iterator[tuple[VideoClips, Rows]]:
    clips = torch.cat([video.clips for video in videos])
    rows = torch.cat([network.features(part) for part in torch.split(clips, batch)])
    for video, own in zip(videos, torch.split(rows, [len(video.clips) for video in videos]), strict=True):
        features = own.float().cpu().numpy()
        if not np.isfinite(features).all():
            raise VimixError(
                f"the encoder gives features that are not finite for video {video.video}: its training diverged; "
                "evaluate an earlier checkpoint or train with a lower learning rate"
            )
        yield video, features


def _stacked(rows: Sequence[Rows]) -> Rows:
    if not rows:
        raise VimixError("there is no video to extract features from: the split is empty; name another split")
    return np.stack(rows)
