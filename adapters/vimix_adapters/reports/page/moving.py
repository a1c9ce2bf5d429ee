"""Moving pictures inside the page: short animated WebP files of limited size."""

import io

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
"""uint8 [T, H, W, 3], R, G, B."""

SIDE = 96
"""Shorter side of a clip in pixels."""
FRAMES = 20
"""Most frames of a clip."""
RATE = 8.0
"""Most frames a second."""
BYTES = 32 * 1024
"""Most bytes of a clip: 500 of them and the numbers of the page stay below 25 MB."""
QUALITIES = (60, 40, 20, 5)
"""Qualities that are tried until a clip is small enough."""


@frozen
class ClipWindow:
    """The frames of a video that its clip shows: ``start``, ``start + step``, ..."""

    start: int
    frames: int
    step: int
    milliseconds: int
    """Duration of each frame, so that the clip plays at the speed of the video."""

    @property
    def reach(self) -> int:
        """Number of frames of the video from the first to the last that is shown."""
        return (self.frames - 1) * self.step + 1


def clip_window(frames: int, rate: float) -> ClipWindow:
    """The middle of a video of ``frames`` frames, ``rate`` a second: at most ``FRAMES`` frames at most at ``RATE``."""
    rate = rate if rate > 0 else RATE
    step = max(1, round(rate / RATE))
    shown = min(FRAMES, (frames - 1) // step + 1)
    start = (frames - ((shown - 1) * step + 1)) // 2
    return ClipWindow(start, shown, step, round(1000 * step / rate))


def animated_webp(pictures: Pictures, milliseconds: int, most: int = BYTES) -> bytes:
    """The pictures as an animated WebP of at most ``most`` bytes, its shorter side ``SIDE`` pixels or less.

    Where the lowest quality is still too large, every other frame is left out, and shown twice as long.
    """
    small = _shrunk(pictures)
    while True:
        for quality in QUALITIES:
            data = _encoded(small, milliseconds, quality)
            if len(data) <= most:
                return data
        if len(small) == 1:
            return data
        small, milliseconds = small[::2], 2 * milliseconds


def _shrunk(pictures: Pictures) -> Pictures:
    height, width = pictures.shape[1:3]
    share = SIDE / min(height, width)
    if share >= 1:
        return pictures
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.stack([cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures])


def _encoded(pictures: Pictures, milliseconds: int, quality: int) -> bytes:
    from PIL import Image

    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=milliseconds,
        loop=0,
        quality=quality,
        method=4,
    )
    return buffer.getvalue()
