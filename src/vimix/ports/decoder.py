"""Decoding video files."""

from pathlib import Path
from typing import Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


@frozen(eq=False)
class DecodedVideo:
    """``frames`` uint8 [T, H, W, 3] (R, G, B, upright) at ``rate`` frames a second."""

    frames: NDArray[np.uint8]
    rate: float


class VideoDecoder(Protocol):
    """Reads a whole video file."""

    def __call__(self, path: Path, rate: float, short_side: int) -> DecodedVideo:
        """Frames resampled to ``rate`` a second by nearest time stamp (0: as they are), resized to ``short_side``.

        Raises VimixError with the reason if the file cannot be read in full.
        """
        ...
