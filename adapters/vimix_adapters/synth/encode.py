"""Writing frames to a video file."""

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
    # No lookahead and no B-frames: with them x264's vector code wrote files that differed from call to call.
    "libx264": {"preset": "veryfast", "crf": "18", "threads": "1", "x264-params": "bframes=0:rc-lookahead=0:mbtree=0"},
    "mpeg4": {"qmin": "2", "qmax": "4", "threads": "1"},
}
"""Options by codec, in order of preference. Several threads would compete with the workers and may encode differently.
"""


def choose_codec(available: Container[str] = av.codecs_available) -> str:
    """Return H.264 if this build of FFmpeg can write it, else MPEG-4. Raises VimixError if it can write neither."""
    for codec in CODECS:
        if codec in available:
            return codec
    raise VimixError("PyAV: expected an FFmpeg with libx264 or mpeg4, found neither; install PyAV's own wheel (pip)")


def write_video(path: Path, frames: NDArray[np.uint8], rate: int | Fraction, codec: str) -> None:
    """Write ``frames`` uint8 ``[T, H, W, 3]`` RGB as MP4, atomically. H and W must be even."""
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=rate, options=CODECS[codec])
        assert isinstance(stream, av.VideoStream)  # for the type checker: both codecs are video codecs
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        # A key frame every second, so that a window can be read without decoding the whole video.
        stream.gop_size = max(1, round(rate))
        for picture in frames:
            coloured = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2YUV_I420)
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.asarray(coloured, dtype=np.uint8), format="yuv420p"))
            )
        container.mux(stream.encode())
