"""Frames of a video in pieces, from a video file, a GIF, or images in a folder."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.clips.display import Display, Frame
from vimix_adapters.clips.video_file import TIE, VideoFile
from vimix_adapters.image_names import frame_names

PIECE = 64
"""Number of frames that are held in memory at once."""
STEADY = 0.95
"""Distance of two frames, as a share of 1/rate, from which they count as no faster than the rate."""
Picture = TypeVar("Picture")


@frozen(slots=False)
class ImageFolder:
    """The frames of a video as images in a folder, sorted by number, or else by name; read as a ``VideoFile`` is."""

    path: Path
    pattern: str
    """Pattern of the file names, such as ``img_%05d.jpg``; empty: the numbered images of the folder."""
    rate: float

    @cached_property
    def _files(self) -> list[Path]:
        try:
            names = frame_names((path.name for path in self.path.iterdir()), self.pattern)
        except OSError as error:
            raise VimixError(f"cannot be opened: {error.strerror}") from error
        if not names:
            raise VimixError(f"a folder without images{f' {self.pattern}' if self.pattern else ''}, no video file")
        return [self.path / name for name in names]

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return len(self._files) / self.rate

    def closest(self) -> float:
        """Return the distance of two frames in seconds."""
        return 1 / self.rate

    def shown(self, short_side: int, segment: Segment | None = None) -> Iterator[tuple[float, Frame]]:
        """Yield time stamp and picture of each frame. Raises VimixError for a damaged image or an empty segment."""
        scale = 1.0 if segment is not None and segment.in_frames else self.rate
        first, end = (0, len(self._files)) if segment is None else (segment.start * scale, segment.end * scale)
        numbers = range(int(np.ceil(first - TIE)), int(np.ceil(end - TIE)))
        if numbers.stop > len(self._files) + max(1, 0.1 * len(numbers)):
            raise VimixError(f"there are {len(self._files)} frames, but the segment ends at number {numbers.stop}")
        for number in numbers[: max(0, len(self._files) - numbers.start)]:
            yield number / self.rate, Display().shown(_image(self._files[number]), short_side)


FrameSource = VideoFile | ImageFolder
"""The frames of one video, read one after the other."""


def open_frames(path: Path, pattern: str = "", rate: float = 0.0) -> FrameSource:
    """Choose the reader: a folder holds images (named by ``pattern``, at ``rate`` frames a second), else a file.

    Without ``rate`` images are taken as 30 frames a second.
    """
    return ImageFolder(path, pattern, rate or 30.0) if path.is_dir() else VideoFile(path)


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

        Raises VimixError if there is no frame, if frames differ in shape, or as ``VideoFile.shown`` does.
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


def thinned(frames: Iterable[tuple[float, Picture]], rate: float) -> Iterator[tuple[float, Picture]]:
    """Yield the frames (time in seconds, picture) that are nearest to 0, 1/rate, 2/rate, ... s, each once.

    Times ascend and count from the first frame. Where the frames are further apart than 1/rate, none is lost; the last
    one is kept unless the one before it is close. One frame is held back at a time.
    """
    wanted, first, last_kept = 0, 0.0, -1.0
    held: tuple[float, Picture] | None = None
    for time, picture in frames:
        if held is None:
            first = time
        since, before, chosen = time - first, None if held is None else held[0] - first, False
        while wanted / rate <= since:
            if before is not None and wanted / rate - before <= since - wanted / rate + TIE:
                if held is not None and before > last_kept:
                    yield held
                    last_kept = before
            else:
                chosen = True
            wanted += 1
        if chosen:
            yield time, picture
            last_kept = since
        held = (time, picture)
    if held is not None:
        since = held[0] - first
        nearest = since > last_kept and wanted <= since * rate + TIE  # a wanted time that rounding puts after the last
        if nearest or (since - last_kept) * rate >= STEADY:
            yield held


def mean_rate(times: Sequence[float]) -> float:
    """Return the mean number of frames a second, to six digits; 30 for a single frame."""
    if len(times) < 2 or times[-1] <= times[0]:
        return 30.0
    return float(f"{(len(times) - 1) / (times[-1] - times[0]):.6g}")


def decode_video(path: Path, rate: float, short_side: int) -> NDArray[np.uint8]:
    """Decode a whole video to frames uint8 [T, H, W, 3] whose shorter side is at most ``short_side`` pixels.

    ``rate`` is a ceiling in frames a second: a faster video is thinned (see ``thinned``), a slower one keeps all its
    frames; 0 is no ceiling. Raises VimixError with the reason if the file cannot be decoded.
    """
    return np.concatenate(list(Reading(open_frames(path), rate, short_side).pieces()))


def first_frames(source: FrameSource, count: int) -> list[Frame]:
    """Decode the first ``count`` frames, at most, in full size. Raises VimixError if there are none."""
    frames = [frame for _, frame in islice(source.shown(0), count)]
    if not frames:
        raise VimixError("no frame could be decoded")
    return frames


def _image(path: Path) -> Frame:
    """Read a picture as uint8 [H, W, 3] (R, G, B), turned as its EXIF data say."""
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise VimixError(f"{path.name} is not a readable image")
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
