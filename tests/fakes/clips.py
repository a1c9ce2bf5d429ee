"""Training and evaluation clips from memory, and a store whose videos can be broken."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray
from torch import Tensor

from vimix.values.clip_batch import ClipBatch, VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix.values.video import ModalityFormat, Video

CHANNELS = {FLOW: 2}


@frozen
class FakeTrainingClips:
    """Implements ``vimix.ports.clips.TrainingClips``: views are a video's own random pattern plus noise.

    Video i has label i % classes; two neighbouring videos share a source.
    """

    views: Mapping[Modality, int] = field(factory=lambda: {RGB: 2})
    videos: int = 10
    batch: int = 4
    frames: int = 4
    size: int = 8
    classes: int = 2
    seed: int = 0
    noise: float = 0.1

    @property
    def steps(self) -> int:
        return self.videos // self.batch

    def batches(self, epoch: int, first: int = 0) -> Iterator[ClipBatch]:
        order = np.random.default_rng((self.seed, epoch)).permutation(self.videos)
        for step in range(first, self.steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            views = {
                modality: tuple(torch.stack([self._view(epoch, int(v), modality, k) for v in chosen]) for k in range(n))
                for modality, n in self.views.items()
            }
            videos = torch.from_numpy(chosen)
            yield ClipBatch(views, videos, sources=videos // 2, labels=videos % self.classes)

    def _view(self, epoch: int, video: int, modality: Modality, view: int) -> Tensor:
        noise = _pattern((self.seed, 1, epoch, video, len(modality), view), modality, self.frames, self.size)
        return video_pattern(self.seed, video, modality, self.frames, self.size) + self.noise * noise


@frozen
class FakeEvaluationClips:
    """Implements ``vimix.ports.clips.EvaluationClips``: video i has 1 + i % 3 windows of its own pattern."""

    modality: Modality = RGB
    members: Sequence[int] = tuple(range(6))
    frames: int = 4
    size: int = 8
    classes: int = 2
    seed: int = 0

    def __len__(self) -> int:
        return len(self.members)

    def videos(self) -> Iterator[VideoClips]:
        for video in self.members:
            clip = video_pattern(self.seed, video, self.modality, self.frames, self.size)
            starts = tuple(range(0, 2 + 2 * (video % 3), 2))
            clips = torch.stack([clip + 0.01 * window for window in range(len(starts))])
            yield VideoClips(video, video % self.classes, clips, starts)


def video_pattern(seed: int, video: int, modality: Modality, frames: int, size: int) -> Tensor:
    """What tells one video of a modality from the others, [C, T, S, S]."""
    return _pattern((seed, 0, video, len(modality)), modality, frames, size)


def _pattern(key: tuple[int, ...], modality: Modality, frames: int, size: int) -> Tensor:
    shape = (CHANNELS.get(modality, 3), frames, size, size)
    return torch.from_numpy(np.random.default_rng(key).standard_normal(shape, dtype=np.float32))


@frozen
class BreakableStore:
    """Implements ``vimix.ports.clips.VideoStore`` with videos of differing sizes, some of which cannot be read.

    Video i has ``lengths[i]`` frames of (40 + i) × (56 - i) pixels; the first pixel's first channel is the number of
    the frame. Flow is (64, 192) everywhere. The split ``all`` has all videos, ``odd`` every second.
    """

    lengths: Sequence[int] = (30, 25, 40, 6, 33, 28, 31, 29, 27, 26)
    broken: frozenset[int] = frozenset()
    pictures: Mapping[int, NDArray[np.uint8]] = field(factory=dict)
    """Frames [T, H, W, 3] of some videos instead of the noise."""

    @property
    def videos(self) -> Sequence[Video]:
        return [Video(f"v{i}", i % 3, f"s{i // 2}", n, 30.0) for i, n in enumerate(self.lengths)]

    @property
    def classes(self) -> Sequence[str]:
        return ("a", "b", "c")

    @property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        return {RGB: ModalityFormat(RGB, 3), FLOW: ModalityFormat(FLOW, 2, bound=20.0)}

    @property
    def splits(self) -> Sequence[str]:
        return ("all", "odd")

    @property
    def fingerprint(self) -> str:
        return "breakable"

    def members(self, split: str) -> Sequence[int]:
        step = {"all": 1, "odd": 2}[split]
        return tuple(range(step - 1, len(self.lengths), step))

    def read(self, video: int, modality: Modality, start: int, count: int) -> NDArray[np.uint8]:
        if video in self.broken:
            raise VimixError(f"v{video}: frame {start} is damaged")
        if not 0 <= start <= start + count <= self.lengths[video]:
            raise IndexError(f"frames {start}-{start + count} of video {video}")
        if modality == FLOW:
            flow = np.empty((count, 40 + video, 56 - video, 2), dtype=np.uint8)
            flow[...] = (64, 192)
            return flow
        if video in self.pictures:
            return self.pictures[video][start : start + count]
        shape = (self.lengths[video], 40 + video, 56 - video, 3)
        frames = np.random.default_rng(video).integers(0, 256, shape, dtype=np.uint8)
        frames[:, 0, 0, 0] = np.arange(len(frames))
        return frames[start : start + count]
