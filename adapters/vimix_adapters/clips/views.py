"""Views of a video: frames in time, a box in space. Everything here runs in the workers."""

import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from attrs import field, frozen, validators
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from vimix.ports.clips import Frames, VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality

ASPECTS = (3 / 4, 4 / 3)
"""Least and greatest width/height of a random box (Inception's, as in CoCLR and torchvision)."""
COCLR_COLOUR = 0.3
"""Probability that CoCLR changes the colours of a view of two windows."""
PAIR = 2**31
"""Number of the generator, among those of a video's views, that draws what the views have in common."""


@frozen
class ClipShape:
    """A clip: ``frames`` frames, ``stride`` apart, of ``size`` × ``size`` pixels."""

    frames: int = field(validator=validators.ge(1))
    size: int = field(validator=validators.ge(1))
    stride: int = field(default=1, validator=validators.ge(1))

    @property
    def span(self) -> int:
        """Number of video frames from the clip's first to its last."""
        return (self.frames - 1) * self.stride + 1


@frozen
class Box:
    """A rectangle of a frame in pixels."""

    top: int
    left: int
    height: int
    width: int


@frozen
class CropDraw:
    """The part of the frame that a view shows, and whether the view is mirrored."""

    box: Box
    flip: bool = False


@frozen
class Crop:
    """A fixed crop of evaluation: a square whose side is ``share`` of the frame's shorter side.

    ``down`` and ``right`` place it, from 0 (top, left) to 1 (bottom, right).
    """

    share: float = 1.0
    down: float = 0.5
    right: float = 0.5
    flip: bool = False

    def box(self, height: int, width: int) -> Box:
        """Return the crop's rectangle in a frame of ``height`` × ``width`` pixels."""
        side = max(1, round(self.share * min(height, width)))
        return Box(int(self.down * (height - side)), int(self.right * (width - side)), side, side)


CENTRE = Crop()
_POSITIONS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
TEN_CROPS = tuple(Crop(0.875, down, right, flip) for flip in (False, True) for down, right in _POSITIONS)
"""Centre and corners, plain and mirrored: 224 of 256 pixels (CoCLR)."""


@frozen(eq=False)
class View:
    """A view of a video before it is sent to the device.

    ``clip`` is uint8 [T, size, size, C], or float32 [T, V, M, C] for a skeleton; ``draw`` holds the values that its
    augmentation drew for it.
    """

    clip: Tensor
    draw: Any

    def pin_memory(self) -> "View":
        """Return the view with its clip in pinned memory. The DataLoader's pinning thread calls this."""
        return View(self.clip.pin_memory(), self.draw)


def view_generator(seed: int, epoch: int, video: int, modality: Modality, view: int) -> np.random.Generator:
    """Return the generator of one view of one video. It depends on the arguments only, not on workers or the batch."""
    return np.random.default_rng((seed, epoch, video, zlib.crc32(modality.encode()), view))


def draw_start(length: int, clip: ClipShape, rng: np.random.Generator) -> int:
    """Draw the first frame of a temporal crop; 0 if the video is shorter than the clip."""
    return int(rng.integers(max(length - clip.span, 0) + 1))


@frozen
class WindowDraw:
    """The window of a view: its first frame, and whether its colours are changed."""

    start: int
    colour: bool = True


def coclr_windows(length: int, clip: ClipShape, rng: np.random.Generator) -> tuple[WindowDraw, WindowDraw]:
    """Draw the windows of CoCLR's two views of a video of ``length`` frames (``TwoClip`` or ``OneClip``, 50 % each).

    TwoClip: two windows, each with changed colours with probability 0.3. OneClip: one window twice, one of them, drawn
    at random, with changed colours. Views without changed colours are cropped and flipped only.
    """
    first, second = draw_start(length, clip, rng), draw_start(length, clip, rng)
    if rng.random() < 0.5:
        return WindowDraw(first, rng.random() < COCLR_COLOUR), WindowDraw(second, rng.random() < COCLR_COLOUR)
    colour = rng.random() < 0.5
    return WindowDraw(first, colour), WindowDraw(first, not colour)


def cvrl_windows(length: int, clip: ClipShape, rng: np.random.Generator) -> tuple[WindowDraw, WindowDraw]:
    """Draw the windows of CVRL's two views of a video of ``length`` frames (Qian et al. 2021).

    With M possible first frames, the interval t between the two windows has the density 2(M - t)/M², which falls
    linearly. The earlier window is uniform among those that leave room for t, and belongs to either view. In long
    videos, two windows that are drawn independently (``alike``) have nearly the same distribution; for M > 1 only the
    probability of t = 0 differs.
    """
    possible = max(length - clip.span, 0) + 1
    interval = int(possible * (1 - math.sqrt(1 - rng.random())))
    first = int(rng.integers(possible - interval))
    windows = WindowDraw(first), WindowDraw(first + interval)
    return windows if rng.random() < 0.5 else (windows[1], windows[0])


WINDOWS: Mapping[str, Callable[[int, ClipShape, np.random.Generator], tuple[WindowDraw, WindowDraw]]] = {
    "coclr": coclr_windows,
    "cvrl": cvrl_windows,
}
"""Ways to draw the windows of a video's two views together, by their names in recipes."""


def window_starts(length: int, clip: ClipShape, every: int, to_the_end: bool = True) -> tuple[int, ...]:
    """Return the first frames of windows over a whole video, ``every`` frames apart.

    With ``to_the_end`` one more window ends with the video. Without it, as in CoCLR, up to ``every - 1`` frames of the
    end are in no window.
    """
    last = max(length - clip.span, 0)
    return (*range(0, last, every), last) if to_the_end else tuple(range(0, last + 1, every))


def frame_indices(starts: tuple[int, ...], length: int, clip: ClipShape, pad_left: bool = False) -> NDArray[np.int64]:
    """Return the frame numbers [N, frames] of the clips that begin at ``starts``.

    A video that is shorter than the clip is padded with its last frame at the end or, with ``pad_left`` (CoCLR), with
    its first frame at the beginning.
    """
    steps = np.arange(clip.frames) * clip.stride
    if pad_left and length < clip.span:
        missing = int((steps >= length).sum())
        steps = np.concatenate([np.zeros(missing, dtype=np.int64), steps[: clip.frames - missing]])
    indices: NDArray[np.int64] = np.minimum(np.asarray(starts, dtype=np.int64)[:, None] + steps, length - 1)
    return indices


def read_clip(store: VideoStore, video: int, modality: Modality, start: int, clip: ClipShape) -> Frames:
    """Read the frames of one clip. A short video is padded with its last frame.

    Raises VimixError naming the video if the store cannot read them.
    """
    count = min(clip.span, store.videos[video].frames - start)
    frames: Frames = read_frames(store, video, modality, start, count)[frame_indices((0,), count, clip)[0]]
    return frames


def read_frames(store: VideoStore, video: int, modality: Modality, start: int = 0, count: int | None = None) -> Frames:
    """Read ``count`` frames, or all up to the end of the video. For motion and bone these are frames of joint.

    Raises VimixError naming the video, also for errors of the operating system (a disk that was removed).
    """
    stored = store.formats[modality].stored
    try:
        return store.read(video, stored, start, store.videos[video].frames - start if count is None else count)
    except OSError as error:
        raise VimixError(f"{store.videos[video].name}: {error}") from error


def draw_box(height: int, width: int, area: tuple[float, float], rng: np.random.Generator) -> Box:
    """Draw a box whose share of the frame is uniform in ``area`` and whose aspect is log-uniform in ``ASPECTS``.

    As in torchvision's ``RandomResizedCrop``, a box that does not fit is drawn again. After ten such draws the largest
    centred box is taken.
    """
    for _ in range(10):
        surface = height * width * rng.uniform(*area)
        aspect = math.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1])))
        h, w = round(math.sqrt(surface / aspect)), round(math.sqrt(surface * aspect))
        if 0 < h <= height and 0 < w <= width:
            return Box(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    h, w = min(height, round(width / ASPECTS[0])), min(width, round(height * ASPECTS[1]))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def cut_out(frames: NDArray[np.uint8], box: Box, size: int) -> Tensor:
    """Cut the box out of all frames [T, H, W, C] and resize it with antialiasing: uint8 [T, size, size, C].

    torchvision's uint8 kernel is as fast as OpenCV's area interpolation (0.1-0.2 ms for 16 frames of 48 × 48). It
    averages over the right support when the image shrinks in one direction only, and it starts no thread pool that a
    forked worker would wait for.
    """
    region = frames[:, box.top : box.top + box.height, box.left : box.left + box.width]
    if region.shape[1:3] == (size, size):
        return torch.from_numpy(np.ascontiguousarray(region))
    channels_first = torch.from_numpy(region).permute(0, 3, 1, 2)
    resized: Tensor = functional.resize(channels_first, [size, size], antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous()
