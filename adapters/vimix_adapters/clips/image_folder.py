"""The frames of a video as images in a folder."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.clips.display import Display, Frame
from vimix_adapters.image_names import frame_names

RATE = 30.0
"""Frames a second of images whose rate nobody names."""


@frozen(slots=False)
class ImageFolder:
    """Images sorted by number, or else by name; it is read as a ``VideoFile`` is."""

    path: Path
    pattern: str = ""
    """Pattern of the file names, such as ``img_%05d.jpg``; empty: the numbered images of the folder."""
    rate: float = RATE

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
        numbers = range(int(np.ceil(first - 1e-6)), int(np.ceil(end - 1e-6)))
        if numbers.stop > len(self._files) + max(1, 0.1 * len(numbers)):
            raise VimixError(f"there are {len(self._files)} frames, but the segment ends at number {numbers.stop}")
        for number in numbers[: max(0, len(self._files) - numbers.start)]:
            yield number / self.rate, Display().shown(_image(self._files[number]), short_side)


def _image(path: Path) -> Frame:
    """Read a picture as uint8 [H, W, 3] (R, G, B), turned as its EXIF data say."""
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        picture = None
    if picture is None:
        raise VimixError(f"{path.name} is not a readable image")
    return np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8)
