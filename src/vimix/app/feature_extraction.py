"""Features of videos and clips, extracted alike for every evaluation (section 8 of the method)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from vimix.app.parallel import SINGLE_PROCESS, rows_by_video
from vimix.domain.scores.feature_scaling import Rows, mean_row
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import FeatureExtractor
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import VideoClips
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures, VideoFeatures

RUN_CLIPS = 1024
"""Clips after which a batch ends with its video, so that processes that share the videos get equal features."""


def extract_features(
    network: FeatureExtractor,
    clips: EvaluationClips,
    sources: Sequence[int] | NDArray[np.int64],
    batch: int = 16,
    pool: Callable[[Rows], Rows] = mean_row,
    group: ProcessGroup = SINGLE_PROCESS,
) -> VideoFeatures:
    """One feature a video: the mean, or another ``pool``, of the clip features [n, D] of its windows.

    Features are those before the projection head. ``sources[v]`` is the number of the recording of the store's video v.
    ``batch`` clips pass the network at a time. In a group each rank extracts the features of its ``clips``, and all
    ranks get the features of all videos, in order of rank. Raises VimixError if there is no video, or a feature is not
    finite (training diverged).
    """
    features, labels, videos = rows_by_video(_parts(network, clips, batch), pool, group)
    numbers = np.array(videos, dtype=np.int64)
    return VideoFeatures(
        features=_stacked(features),
        labels=np.array(labels, dtype=np.int64),
        sources=np.asarray(sources, dtype=np.int64)[numbers],
        videos=numbers,
    )


def extract_clip_features(network: FeatureExtractor, clips: EvaluationClips, batch: int = 16) -> ClipFeatures:
    """One feature a clip, with the first frame of its window, so that an index can find moments within videos.

    Raises VimixError if there is no video, or a feature is not finite (training diverged).
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


def runs_of_videos(counts: Sequence[int]) -> list[range]:
    """Divide videos of ``counts`` clips into runs, which give the same features extracted together or apart.

    No batch holds clips of two runs. A run ends with the video that fills it to RUN_CLIPS.
    """
    ends, clips = [], 0
    for number, count in enumerate(counts, 1):
        clips += count
        if clips >= RUN_CLIPS or number == len(counts):
            ends.append(number)
            clips = 0
    return [range(start, end) for start, end in pairwise([0, *ends])]


def _parts(network: FeatureExtractor, clips: EvaluationClips, batch: int) -> Iterator[tuple[VideoClips, Rows]]:
    """Videos, or parts of long videos, with features [n, D] of their clips. Short videos of a run share a batch."""
    waiting: list[VideoClips] = []
    in_run = 0
    for _, video in groupby(clips.videos(), lambda part: part.video):
        for part in video:
            waiting.append(part)
            in_run += len(part.clips)
            if sum(len(part.clips) for part in waiting) >= batch:
                yield from _batch_features(network, waiting, batch)
                waiting = []
        if in_run >= RUN_CLIPS:
            yield from _batch_features(network, waiting, batch)
            waiting, in_run = [], 0
    yield from _batch_features(network, waiting, batch)


def _batch_features(
    network: FeatureExtractor, videos: Sequence[VideoClips], batch: int
) -> Iterator[tuple[VideoClips, Rows]]:
    if not videos:
        return
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
