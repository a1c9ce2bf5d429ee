"""Where a clip lies in its video: frames in time, a box in space. Numbers and uint8 frames; runs in the workers."""

import math
import zlib

import numpy as np
import torch
from attrs import evolve, field, frozen, validators
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from vimix.ports.clips import Frames, VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat

ASPECTS = (3 / 4, 4 / 3)
"""Least and greatest width/height of a random box (Inception's, as in CoCLR and torchvision)."""


@frozen
class ClipShape:
    """A clip: ``frames`` frames, ``stride`` apart, of ``size`` × ``size`` pixels."""

    frames: int = field(validator=validators.ge(1))
    size: int = field(validator=validators.ge(1))
    stride: int = field(default=1, validator=validators.ge(1))

    @property
    def span(self) -> int:
        """Frames of video from the clip's first to its last."""
        return (self.frames - 1) * self.stride + 1


@frozen
class Box:
    """A rectangle of a frame in pixels."""

    top: int
    left: int
    height: int
    width: int


def view_generator(seed: int, epoch: int, video: int, modality: Modality, view: int) -> np.random.Generator:
    """The randomness of one view of one video: it depends on nothing else, neither on workers nor on the batch."""
    return np.random.default_rng((seed, epoch, video, zlib.crc32(modality.encode()), view))


def clip_of(clip: ClipShape, kind: ModalityFormat, length: int) -> ClipShape:
    """The clip of a video of ``length`` frames: a skeleton's is the whole sequence (all are equally long)."""
    return clip if kind.layout is None else evolve(clip, frames=length, stride=1)


def draw_start(length: int, clip: ClipShape, rng: np.random.Generator) -> int:
    """First frame of a random temporal crop; 0 in a video shorter than the clip."""
    return int(rng.integers(max(length - clip.span, 0) + 1))


def window_starts(length: int, clip: ClipShape, every: int, to_the_end: bool = True) -> tuple[int, ...]:
    """First frames of windows over the whole video, ``every`` frames apart, and one that ends with the video.

    Without ``to_the_end`` that one is left out (CoCLR): up to ``every - 1`` frames of the end are not seen.
    """
    last = max(length - clip.span, 0)
    return (*range(0, last, every), last) if to_the_end else tuple(range(0, last + 1, every))


def frame_indices(starts: tuple[int, ...], length: int, clip: ClipShape, pad_left: bool = False) -> NDArray[np.int64]:
    """Frames of the clips that begin at ``starts``, [N, frames]. Beyond the end the last frame is repeated.

    With ``pad_left`` a video shorter than the clip comes last in it, after repetitions of its first frame (CoCLR).
    """
    steps = np.arange(clip.frames) * clip.stride
    if pad_left and length < clip.span:
        missing = int((steps >= length).sum())
        steps = np.concatenate([np.zeros(missing, dtype=np.int64), steps[: clip.frames - missing]])
    indices: NDArray[np.int64] = np.minimum(np.asarray(starts, dtype=np.int64)[:, None] + steps, length - 1)
    return indices


def read_clip(store: VideoStore, video: int, modality: Modality, start: int, clip: ClipShape) -> Frames:
    """The frames of one clip, as the store gives them; a short video is padded as ``frame_indices`` says.

    Raises VimixError naming the video if the store cannot read them.
    """
    count = min(clip.span, store.videos[video].frames - start)
    frames: Frames = read_frames(store, video, modality, start, count)[frame_indices((0,), count, clip)[0]]
    return frames


def read_frames(store: VideoStore, video: int, modality: Modality, start: int = 0, count: int | None = None) -> Frames:
    """``VideoStore.read``, to the end of the video if no count is given; of a derived modality what it is derived from.

    Raises VimixError naming the video, also for what the operating system reports (a disk that went away).
    """
    stored = store.formats[modality].stored
    try:
        return store.read(video, stored, start, store.videos[video].frames - start if count is None else count)
    except OSError as error:
        raise VimixError(f"{store.videos[video].name}: {error}") from error


def draw_box(height: int, width: int, area: tuple[float, float], rng: np.random.Generator) -> Box:
    """A random box: share of the frame's area uniform in ``area``, aspect log-uniform in ``ASPECTS``.

    Like torchvision's ``RandomResizedCrop``: ten draws that may not fit, then the largest centred box.
    """
    for _ in range(10):
        surface = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1])))
        h, w = round(math.sqrt(surface / aspect)), round(math.sqrt(surface * aspect))
        if 0 < h <= height and 0 < w <= width:
            return Box(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    return _centred(height, width, min(height, round(width / ASPECTS[0])), min(width, round(height * ASPECTS[1])))


@frozen
class Crop:
    """One of a test's fixed crops: a square of ``share`` of the shorter side, placed from 0 (top, left) to 1."""

    share: float = 1.0
    down: float = 0.5
    right: float = 0.5
    flip: bool = False

    def box(self, height: int, width: int) -> Box:
        """Its rectangle in a frame of that size."""
        side = max(1, round(self.share * min(height, width)))
        return Box(int(self.down * (height - side)), int(self.right * (width - side)), side, side)


CENTRE = Crop()
_PLACES = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
TEN_CROPS = tuple(Crop(0.875, down, right, flip) for flip in (False, True) for down, right in _PLACES)
"""Centre and corners, as they are and mirrored: 224 of 256 pixels (CoCLR)."""


def cut_out(frames: NDArray[np.uint8], box: Box, size: int) -> Tensor:
    """The box of all frames [T, H, W, C], resized with antialiasing: uint8 [T, size, size, C].

    torchvision's uint8 kernel takes as long as OpenCV's area interpolation (0.1-0.2 ms for 16 frames of 48 × 48),
    averages over the right support when it shrinks in one direction only, and starts no thread pool that a forked
    worker would wait for.
    """
    region = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    if region.shape[1:3] == (size, size):
        return torch.from_numpy(np.ascontiguousarray(region))
    planes = torch.from_numpy(region).permute(0, 3, 1, 2)
    resized: Tensor = functional.resize(planes, [size, size], antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous()


def vector_scale(box: Box, size: int) -> tuple[float, float]:
    """What resizing the box to ``size`` × ``size`` does to a displacement: the factors of u and of v."""
    return size / box.width, size / box.height


def _centred(height: int, width: int, h: int, w: int) -> Box:
    return Box((height - h) // 2, (width - w) // 2, h, w)
