"""Features of videos and clips, with a network and clips that can be computed by hand."""

from collections.abc import Iterator
from itertools import chain
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vimix.app import feature_extraction
from vimix.app.feature_extraction import extract_clip_features, extract_features, runs_of_videos
from vimix.ports.network import Network
from vimix.values.clip_batch import VideoClips
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures, VideoFeatures


class MeansAndMaxima:
    """The only part of a Network that extraction may use: a feature is a clip's mean and maximum."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def features(self, clips: Tensor) -> Tensor:
        self.batches.append(len(clips))
        flat = clips.flatten(1)
        return torch.stack([flat.mean(1), flat.amax(1)], dim=1)


class ListedClips:
    """``EvaluationClips`` from a list."""

    def __init__(self, videos: list[VideoClips]) -> None:
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def videos(self) -> Iterator[VideoClips]:
        return iter(self._videos)


def network() -> Network:
    return cast(Network, MeansAndMaxima())


def three_videos() -> list[VideoClips]:
    """Videos 4, 0 and 2 of a store, of 5, 1 and 3 clips."""
    generator = torch.Generator().manual_seed(0)
    return [
        VideoClips(video, label, torch.randn(n, 3, 4, 2, 2, generator=generator), tuple(range(0, 7 * n, 7)))
        for video, label, n in ((4, 1, 5), (0, 0, 1), (2, 1, 3))
    ]


def test_a_videos_feature_is_the_mean_over_its_clips_whatever_the_batch() -> None:
    videos, sources = three_videos(), [10, 11, 12, 13, 14]
    for batch in (1, 2, 16):
        result = extract_features(network(), ListedClips(videos), sources, batch)
        for row, video in zip(result.features, videos, strict=True):
            clips = [clip.numpy() for clip in video.clips]
            assert row[0] == pytest.approx(sum(clip.mean() for clip in clips) / len(clips), abs=1e-6)
            assert row[1] == pytest.approx(sum(clip.max() for clip in clips) / len(clips), abs=1e-6)
        assert result.features.dtype == np.float32
        assert result.videos.tolist() == [4, 0, 2]
        assert result.labels.tolist() == [1, 0, 1]
        assert result.sources.tolist() == [14, 10, 12]


def test_no_more_than_a_batch_of_clips_goes_through_the_network_at_once() -> None:
    counting = MeansAndMaxima()
    extract_features(cast(Network, counting), ListedClips(three_videos()), [0] * 5, batch=2)
    assert counting.batches == [2, 2, 1, 2, 2]


def test_short_videos_share_a_batch_and_keep_their_own_features() -> None:
    """A device is slow at one clip at a time, and most test videos have one or two."""
    counting = MeansAndMaxima()
    videos = [VideoClips(number, 0, torch.full((1, 3, 4, 2, 2), float(number)), (0,)) for number in range(10)]
    result = extract_features(cast(Network, counting), ListedClips(videos), range(10), batch=4)
    assert counting.batches == [4, 4, 2]
    assert result.features[:, 0].tolist() == list(range(10))


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=12), batch=st.integers(1, 6), run=st.integers(1, 20))
def test_runs_of_videos_pass_the_network_in_the_batches_of_all_videos_together(counts, batch, run) -> None:
    """Long videos come in items of at most a batch, as ``WindowedClips`` yields them."""
    items = [[min(batch, count - first) for first in range(0, count, batch)] for count in counts]
    videos = [
        [VideoClips(v, 0, torch.full((n, 1), float(v)), (0,) * n) for n in sizes] for v, sizes in enumerate(items)
    ]
    whole, apart = MeansAndMaxima(), MeansAndMaxima()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extraction, "RUN_CLIPS", run)
        extract_clip_features(cast(Network, whole), ListedClips(list(chain(*videos))), batch)
        runs = runs_of_videos(counts)
    assert [v for numbers in runs for v in numbers] == list(range(len(counts)))
    assert all(sum(counts[v] for v in numbers) >= run for numbers in runs[:-1])
    assert all(sum(counts[v] for v in numbers[:-1]) < run for numbers in runs)
    for numbers in runs:
        own = ListedClips(list(chain(*(videos[v] for v in numbers))))
        extract_clip_features(cast(Network, apart), own, batch)
    assert apart.batches == whole.batches


def test_clip_features_name_their_video_and_their_first_frame() -> None:
    videos = three_videos()
    result = extract_clip_features(network(), ListedClips(videos), batch=2)
    assert result.videos.tolist() == [4, 4, 4, 4, 4, 0, 2, 2, 2]
    assert result.starts.tolist() == [0, 7, 14, 21, 28, 0, 0, 7, 14]
    every_clip = torch.cat([video.clips for video in videos]).flatten(1)
    assert result.features[:, 1] == pytest.approx(every_clip.amax(1).numpy())


def test_a_feature_that_is_not_finite_is_an_error_that_names_the_video() -> None:
    videos = three_videos()
    videos[2].clips[1] = torch.nan
    with pytest.raises(VimixError, match=r"video 2.*diverged"):
        extract_features(network(), ListedClips(videos), [0] * 5)


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(VimixError, match=r"split is empty"):
        extract_features(network(), ListedClips([]), [])
    with pytest.raises(VimixError, match=r"split is empty"):
        extract_clip_features(network(), ListedClips([]))


def test_features_need_one_number_a_row() -> None:
    rows, three, two = np.zeros((3, 2), np.float32), np.zeros(3, np.int64), np.zeros(2, np.int64)
    with pytest.raises(ValueError, match=r"one number a row"):
        VideoFeatures(rows, labels=three, sources=two, videos=three)
    with pytest.raises(ValueError, match=r"one number a row"):
        ClipFeatures(rows, videos=three, starts=two)
