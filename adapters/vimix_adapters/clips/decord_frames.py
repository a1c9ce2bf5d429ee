"""Frames of plain video files, read by decord."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PLAIN_CODECS = frozenset({"h264", "mpeg4", "vp9", "mpeg2video"})


def decord_frames(path: Path, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures uint8 [H, W, 3] of a file of ``frames`` frames, and end early where decord cannot go on.

    Nothing is yielded if decord is not installed (it has wheels for few platforms) or counts other frames.
    """
    try:
        import decord
    except (ImportError, OSError):
        return
    failures = (decord.DECORDError, RuntimeError, StopIteration, IndexError, UnicodeError)  # a name may not be UTF-8
    try:
        reader = decord.VideoReader(str(path.absolute()), ctx=decord.cpu(0), num_threads=1)
        # For videos narrower than 64 pixels decord returns four channels, because it misreads its line padding.
        if len(reader) != frames or reader[0].shape[2] != 3:
            return
        reader.seek(0)
    except failures:
        return
    for _ in range(frames):
        try:
            picture = reader.next().asnumpy()
        except failures:
            return
        yield picture
