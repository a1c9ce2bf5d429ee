"""A store of videos in memory, and real video files to prepare real ones from."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix.values.video import ModalityFormat, Video

FORMATS = {RGB: ModalityFormat(RGB, channels=3), FLOW: ModalityFormat(FLOW, channels=2, bound=20.0)}


@frozen
class FakeVideoStore:
    """Implements ``vimix.ports.clips.VideoStore``: frame t of video v is filled with v + t."""

    count: int = 4
    length: int = 9
    size: tuple[int, int] = (6, 8)
    classes: Sequence[str] = ("bow", "wave")
    formats: Mapping[Modality, ModalityFormat] = field(factory=lambda: dict(FORMATS))
    fingerprint: str = "fake"

    @property
    def videos(self) -> Sequence[Video]:
        return tuple(Video(f"{i}.mp4", i % 2, f"source{i // 2}", self.length, 30.0) for i in range(self.count))

    @property
    def splits(self) -> Sequence[str]:
        return ("test", "train")

    def members(self, split: str) -> Sequence[int]:
        if split not in self.splits:
            raise VimixError(f"no split {split!r}, only test, train")
        return tuple(i for i in range(self.count) if (i % 4 == 0) == (split == "test"))

    def read(self, video: int, modality: Modality, start: int, count: int) -> NDArray[np.uint8]:
        if not (start >= 0 and count > 0 and start + count <= self.length):
            raise IndexError(f"{video} has {self.length} frames")
        values = np.arange(start, start + count, dtype=np.uint8) + video
        shape = (count, *self.size, self.formats[modality].channels)
        return np.broadcast_to(values[:, None, None, None], shape).copy()


def moving_square(frames: int, height: int = 48, width: int = 64, speed: int = 2) -> NDArray[np.uint8]:
    """[T, H, W, 3]: a bright square over texture, moving right; the frame's number is its top left grey value."""
    rng = np.random.default_rng(0)
    texture = rng.integers(40, 120, (height, width + frames * speed, 3), dtype=np.uint8)
    pictures = np.stack([texture[:, t * speed : t * speed + width] for t in range(frames)])
    for t in range(frames):
        pictures[t, :16, :16] = 8 * (t % 32)
    return pictures


def frame_numbers(frames: Iterable[NDArray[np.uint8]]) -> list[int]:
    """Read the numbers of frames, modulo 32, that ``moving_square`` wrote into them."""
    return [round(float(frame[2:10, 2:10].mean()) / 8) for frame in frames]


def write_video(
    path: Path,
    pictures: NDArray[np.uint8],
    rate: int | Fraction = 30,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    pixels: str = "yuv420p",
    aspect: Fraction | None = None,
) -> None:
    """A real file, through a real encoder; ``times`` are time stamps in units of 1/rate, ``aspect`` that of pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = pictures.shape[1], pictures.shape[2], pixels
        stream.codec_context.time_base = 1 / Fraction(rate)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for t, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = times[t] if times else t
            frame.time_base = 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
