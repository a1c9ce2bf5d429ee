"""Reading video files: decord where it is installed and safe, PyAV otherwise.

decord is fast, but it seeks to wrong frames in files with unusual time stamps, ignores rotation and can hang. It reads
plain files only, and its frame count must be that of the container. Callers run this in a process that can be killed.
"""

import stat
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError

Frame = NDArray[np.uint8]
PLAIN_CODECS = frozenset({"h264", "mpeg4", "vp9", "mpeg2video"})
MISSING = 0.1
"""Share of the declared frames that may be missing before a file counts as truncated."""
GRACE = 0.5
"""Seconds by which a declared length may be wrong in addition."""


@frozen(eq=False)
class DecodedVideo:
    """``frames`` uint8 [T, H, W, 3] (R, G, B, upright) at ``rate`` frames a second."""

    frames: NDArray[np.uint8]
    rate: float


VideoDecoder = Callable[[Path, float, int], DecodedVideo]
"""Decodes a whole video file, as ``decode_video`` does."""


@frozen
class Probe:
    """Properties of the first video stream, as the container declares them."""

    codec: str
    pixels: str
    frames: int
    """Number of frames, 0 if not declared."""
    rate: Fraction | None
    """Frames per second, or None."""
    steady: bool
    """Whether the header declares a constant frame rate."""
    rotation: int
    """Degrees by which the pictures must be rotated for display, anticlockwise."""
    seconds: float
    """Length of the video. 0 if it is not declared, or if only that of the file is and it has sound."""


def decode_video(path: Path, rate: float, short_side: int) -> DecodedVideo:
    """Decode a video file to frames whose shorter side is ``short_side`` pixels.

    With ``rate`` > 0 the frames nearest to a constant rate are chosen; 0 keeps all frames and their mean rate.
    Raises VimixError with the reason if the file cannot be decoded.
    """
    _require_file(path)
    times, frames = _decoded(path, short_side)
    if not frames:
        raise VimixError("no frame could be decoded")
    if len(sizes := {frame.shape[:2] for frame in frames}) > 1:
        raise VimixError(f"its frames have {len(sizes)} different shapes")
    own = _own_rate(times)
    if not rate:
        return DecodedVideo(np.stack(frames), own)
    chosen = nearest_frames(times, rate, 1 / own)
    return DecodedVideo(np.stack([frames[i] for i in chosen]), rate)


def nearest_frames(times: Sequence[float], rate: float, last: float) -> NDArray[np.int64]:
    """Return the indices of the frames nearest to 0, 1/rate, 2/rate, ... s.

    ``times`` are the frames' time stamps in seconds, ascending; the last frame is shown for ``last`` seconds.
    """
    stamps = np.asarray(times, dtype=np.float64) - times[0]
    count = max(1, round((stamps[-1] + last) * rate))
    wanted = np.arange(count) / rate
    after = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    if len(stamps) == 1:
        return np.zeros(count, dtype=np.int64)
    before_is_nearer = wanted - stamps[after - 1] <= stamps[after] - wanted
    return np.where(before_is_nearer, after - 1, after).astype(np.int64)


def _require_file(path: Path) -> None:
    """Raise VimixError unless the path is a regular file with content. Opening a FIFO would wait for ever."""
    try:
        state = path.stat()
    except OSError as error:
        raise VimixError(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(state.st_mode):
        raise VimixError("not a regular file")
    if state.st_size == 0:
        raise VimixError("empty file")


def _own_rate(times: Sequence[float]) -> float:
    if len(times) < 2 or times[-1] <= times[0]:
        return 30.0
    return (len(times) - 1) / (times[-1] - times[0])


def _decoded(path: Path, short_side: int) -> tuple[list[float], list[Frame]]:
    """Return the time stamps in seconds, ascending, and the frames."""
    probe = probe_video(path)
    if _is_plain(probe) and (frames := _try_decord(path, short_side, probe)) is not None:
        assert probe.rate is not None
        return [float(i / probe.rate) for i in range(len(frames))], frames
    return _decode_pyav(path, short_side, probe)


def _is_plain(probe: Probe) -> bool:
    return (
        probe.codec in PLAIN_CODECS
        and probe.pixels == "yuv420p"
        and probe.frames > 1
        and probe.rate is not None
        and probe.steady
        and probe.rotation == 0
    )


def probe_video(path: Path) -> Probe:
    """Read the header and the first frame. Raises VimixError if the file is no video or has no video stream."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = _moving(container)
            context = stream.codec_context
            rotation = 0
            for frame in container.decode(stream):
                rotation = round(getattr(frame, "rotation", 0) or 0) % 360
                break
            average, base = as_fraction(stream.average_rate), as_fraction(stream.base_rate)
            return Probe(
                codec=context.name,
                pixels=context.pix_fmt or "",
                frames=stream.frames,
                rate=average,
                steady=average is not None and base is not None and abs(average - base) < Fraction(1, 100) * base,
                rotation=rotation,
                seconds=_declared_seconds(container, stream),
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VimixError(f"not a readable video: {_text(error)}") from error


def as_fraction(rate: Any) -> Fraction | None:
    """Return a rate as a Fraction. From PyAV 19 on, rates have a type of PyAV's own, which has no ``abs``."""
    return None if rate is None else Fraction(rate.numerator, rate.denominator)


def _moving(container: Any) -> Any:
    """Return the first video stream that is not a cover picture. Raises VimixError if there is none."""
    from av.stream import Disposition

    streams = container.streams.video
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise VimixError("no video stream, but a cover picture" if streams else "no video stream")


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and not container.streams.audio:
        return float(container.duration) / 1e6
    return 0.0


def _try_decord(path: Path, short_side: int, probe: Probe) -> list[Frame] | None:
    """Return all frames, or None if PyAV should read the file."""
    try:
        import decord
    except (ImportError, OSError):
        return None
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        # For videos narrower than 64 pixels decord returns four channels, because it misreads its line padding.
        if len(reader) != probe.frames or reader[0].shape[2] != 3:
            return None
        reader.seek(0)
        return [resized(reader.next().asnumpy(), short_side) for _ in range(len(reader))]
    except (decord.DECORDError, RuntimeError, StopIteration, IndexError, UnicodeError):  # file names that are not UTF-8
        return None


def _decode_pyav(path: Path, short_side: int, probe: Probe) -> tuple[list[float], list[Frame]]:
    import av

    times: list[float] = []
    frames: list[Frame] = []
    try:
        with av.open(str(path)) as container:
            stream = _moving(container)
            stream.thread_type = "NONE"
            for time, frame in _shown(container, stream):
                times.append(time)
                frames.append(resized(np.rot90(frame, probe.rotation // 90), short_side))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VimixError(f"damaged after {len(frames)} frames: {_text(error)}") from error
    if probe.frames and len(frames) < (1 - MISSING) * probe.frames:
        raise VimixError(f"truncated: {len(frames)} of {probe.frames} frames")
    shown = max(times, default=0.0) - min(times, default=0.0)
    if shown < (1 - MISSING) * probe.seconds - GRACE:
        raise VimixError(f"truncated: {shown:.1f} of {probe.seconds:.1f} seconds")
    order = np.argsort(times, kind="stable")
    return [times[i] for i in order], [frames[i] for i in order]


def _shown(container: Any, stream: Any) -> Iterator[tuple[float, Frame]]:
    """Yield time stamp and picture of each frame. A frame without a stamp follows the last one at the nominal rate."""
    step = 1 / float(stream.average_rate or 30)
    time = -step
    for frame in container.decode(stream):
        time = frame.time if frame.time is not None else time + step
        yield time, frame.to_ndarray(format="rgb24")


def resized(frame: Frame, short_side: int) -> Frame:
    """Resize a frame [H, W, 3] so that its shorter side is ``short_side`` pixels; averages over areas to shrink."""
    height, width = frame.shape[:2]
    factor = short_side / min(height, width)
    if factor == 1:
        return np.ascontiguousarray(frame)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(frame), size, interpolation=how), dtype=np.uint8)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
