"""Frames into a video file."""

from collections.abc import Container
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.files import replacing

CODECS = {
    # Without lookahead and B-frames: with them x264's vector code gave files that differed from call to call.
    "libx264": {"preset": "veryfast", "crf": "18", "threads": "1", "x264-params": "bframes=0:rc-lookahead=0:mbtree=0"},
    "mpeg4": {"qmin": "2", "qmax": "4", "threads": "1"},
}
"""In order of preference. One thread: several would compete with the other workers, and may encode differently."""


def choose_codec(available: Container[str] = av.codecs_available) -> str:
    """H.264 where this build of FFmpeg can write it, else MPEG-4. Raises VimixError where it can do neither."""
    for codec in CODECS:
        if codec in available:
            return codec
    raise VimixError("PyAV: expected an FFmpeg with libx264 or mpeg4, found neither; install PyAV's own wheel (pip)")


def write_video(path: Path, frames: NDArray[np.uint8], rate: int | Fraction, codec: str) -> None:
    """Write ``frames`` uint8 ``[T, H, W, 3]`` RGB as MP4, whole or not at all; H and W are even."""
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate, options=CODECS[codec])
        assert isinstance(stream, av.VideoStream)  # for the type checker: both codecs are video's
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # A key frame every second, so that a window can be read without the whole video.
        stream.gop_size = max(1, round(rate))
        for picture in frames:
            coloured = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2YUV_I420)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.asarray(coloured, dtype=np.uint8), format="yuv420p"))
            )
        container.mux(stream.encode())
