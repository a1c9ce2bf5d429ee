"""Frames of a video in pieces, from a video file, a GIF, or images in a folder."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.clips.display import Frame
from vimix_adapters.clips.image_folder import RATE, ImageFolder
from vimix_adapters.clips.thinning import STEADY, mean_rate, thinned
from vimix_adapters.clips.video_file import VideoFile

PIECE = 64
"""Number of frames that are held in memory at once."""
Picture = TypeVar("Picture")


class FrameSource(Protocol):
    """The frames of one video, read one after the other."""

    @property
    def seconds(self) -> float:
        """Declared length of the video, 0 if it has none."""

    @property
    def rate(self) -> float:
        """Declared frames per second, or a default if there is none."""

    def closest(self) -> float:
        """Return the smallest distance of two neighbouring frames in seconds."""

    def shown(self, short_side: int, segment: Segment | None = None) -> Iterator[tuple[float, Frame]]:
        """Yield seconds since the first frame, ascending, and the picture as a player shows it, uint8 [H, W, 3].

        The shorter side is at most ``short_side`` pixels. Raises VimixError if the video or its ``segment`` is not
        whole.
        """


def open_frames(path: Path, pattern: str = "", rate: float = 0.0) -> FrameSource:
    """Choose the reader: a folder holds images (named by ``pattern``, at ``rate`` frames a second), else a file."""
    return ImageFolder(path, pattern, rate or RATE) if path.is_dir() else VideoFile(path)


@frozen(eq=False)
class DecodedVideo:
    """``frames`` uint8 [T, H, W, 3] (R, G, B, upright) at ``rate`` frames a second; no frame is repeated."""

    frames: NDArray[np.uint8]
    rate: float
    file_rate: float
    """Frames a second in the file, on average."""
    file_frames: int
    """Number of frames in the file."""


@define(eq=False)
class Reading:
    """One pass over the frames of a video, at most ``ceiling`` a second (see ``thinned``); 0 keeps all."""

    source: FrameSource
    ceiling: float
    short_side: int
    segment: Segment | None = None
    _times: list[float] = field(factory=list, init=False)
    _kept: list[float] = field(factory=list, init=False)

    def pieces(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames in order, uint8 [T, H, W, 3] with T ≤ 64.

        Raises VimixError if there is no frame, if frames differ in shape, or as ``FrameSource.shown`` does.
        """
        frames = self._noted(self.source.shown(self.short_side, self.segment), self._times)
        if self.ceiling and self.source.closest() * self.ceiling < STEADY:
            frames = thinned(frames, self.ceiling)
        pictures, shape = (picture for _, picture in self._noted(frames, self._kept)), None
        while piece := list(islice(pictures, PIECE)):
            shape = shape or piece[0].shape
            if odd := next((frame.shape for frame in piece if frame.shape != shape), None):
                raise VimixError(f"its frames have different shapes: {_size(shape)}, later {_size(odd)}")
            yield np.stack(piece)
        if shape is None:
            raise VimixError("no frame could be decoded")

    @property
    def rate(self) -> float:
        """Mean frames a second of the frames that were kept, after the last piece."""
        stored = mean_rate(self._kept)
        if len(self._kept) < len(self._times):  # few frames give a mean that is a little off
            return self.ceiling if stored > STEADY * self.ceiling else stored
        return stored

    @property
    def file_rate(self) -> float:
        """Mean frames a second in the file, after the last piece."""
        return mean_rate(self._times)

    @property
    def file_frames(self) -> int:
        """Number of frames in the file or its segment, after the last piece."""
        return len(self._times)

    @staticmethod
    def _noted(frames: Iterable[tuple[float, Picture]], times: list[float]) -> Iterator[tuple[float, Picture]]:
        for time, picture in frames:
            times.append(time)
            yield time, picture


def decode_video(path: Path, rate: float, short_side: int) -> DecodedVideo:
    """Decode a whole video to frames whose shorter side is at most ``short_side`` pixels.

    ``rate`` is a ceiling in frames a second: a faster video is thinned (see ``thinned``), a slower one keeps all its
    frames; 0 is no ceiling. Raises VimixError with the reason if the file cannot be decoded.
    """
    reading = Reading(open_frames(path), rate, short_side)
    frames = np.concatenate(list(reading.pieces()))
    return DecodedVideo(frames, reading.rate, reading.file_rate, reading.file_frames)


def first_frames(source: FrameSource, count: int) -> list[Frame]:
    """Decode the first ``count`` frames, at most, in full size. Raises VimixError if there are none."""
    frames = [frame for _, frame in islice(source.shown(0), count)]
    if not frames:
        raise VimixError("no frame could be decoded")
    return frames


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
