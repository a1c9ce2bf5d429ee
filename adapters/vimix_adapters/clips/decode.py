"""Reading video files: decord where it is installed and safe, PyAV otherwise.

decord is fast, but it seeks to wrong frames in files with unusual time stamps, ignores rotation and can hang. It reads
plain files only, and its frame count must be that of the container. Callers run this in a process that can be killed.
"""

import stat
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.clips.limits import LONGEST_SECONDS, MOST_PIXELS, require_at_most

Frame = NDArray[np.uint8]
PLAIN_CODECS = frozenset({"h264", "mpeg4", "vp9", "mpeg2video"})
MISSING = 0.1
"""Share of the declared frames that may be missing before a file counts as truncated."""
STEADY = 0.95
"""Distance of two frames, as a share of 1/rate, from which they count as no faster than the rate."""
TIE = 1e-6
"""Seconds or frames below which two distances count as equal."""
GRACE = 0.5
"""Seconds by which a declared length may be wrong in addition."""
CONTAINERS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,m4v,h264,hevc,ivf,gif,dv,rm,mxf,nut"
"""Container formats that are read, by FFmpeg's names (mov: also MP4). None opens other files or the network."""


@frozen(eq=False)
class DecodedVideo:
    """``frames`` uint8 [T, H, W, 3] (R, G, B, upright) at ``rate`` frames a second; no frame is repeated."""

    frames: NDArray[np.uint8]
    rate: float
    file_rate: float
    """Frames a second in the file, on average."""
    file_frames: int
    """Number of frames in the file."""


@frozen
class Turn:
    """How a player turns the stored pictures: swap rows and columns, then mirror left-right and top-bottom."""

    swap: bool = False
    mirror: bool = False
    flip: bool = False

    def upright(self, frame: Frame) -> Frame:
        """Turn a frame [H, W, 3]; returns a view."""
        turned = frame.swapaxes(0, 1) if self.swap else frame
        return turned[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


AS_STORED = Turn()


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
    turn: Turn
    """How the pictures must be turned for display."""
    seconds: float
    """Length of the video. 0 if it is not declared, or if only that of the file is and it has sound."""


def decode_video(path: Path, rate: float, short_side: int) -> DecodedVideo:
    """Decode a video file to frames whose shorter side is at most ``short_side`` pixels.

    ``rate`` is a ceiling in frames a second: a faster video is thinned (see ``thinned``), a slower one keeps all its
    frames; 0 is no ceiling. Raises VimixError with the reason if the file cannot be decoded.
    """
    times, frames = _decoded(path, short_side)
    if not frames:
        raise VimixError("no frame could be decoded")
    require_at_most(times[-1] - times[0], LONGEST_SECONDS, "seconds from the first frame to the last")
    if len(sizes := {frame.shape[:2] for frame in frames}) > 1:
        raise VimixError(f"its frames have {len(sizes)} different shapes")
    chosen = thinned(times, rate)
    stored = mean_rate([times[i] for i in chosen])
    if len(chosen) < len(times):  # few frames give a mean that is a little off
        stored = rate if stored > STEADY * rate else stored
    return DecodedVideo(np.stack([frames[i] for i in chosen]), stored, mean_rate(times), len(times))


def thinned(times: Sequence[float], rate: float) -> NDArray[np.int64]:
    """Return the indices, ascending and without repetition, of the frames to keep of at most ``rate`` a second.

    All are kept if no two neighbours are closer than 1/rate s (less 5 %, because containers round time stamps) or
    ``rate`` is 0. Otherwise those nearest to 0, 1/rate, 2/rate, ... s are kept, each once: where the frames are further
    apart than that, none is lost. ``times`` are the time stamps in seconds, ascending.
    """
    stamps = np.asarray(times, dtype=np.float64) - times[0]
    if not rate or len(stamps) == 1 or np.diff(stamps).min() * rate >= STEADY:
        return np.arange(len(stamps))
    wanted = np.arange(np.floor(stamps[-1] * rate + TIE) + 1) / rate
    after = np.clip(np.searchsorted(stamps, wanted), 1, len(stamps) - 1)
    before_is_nearer = wanted - stamps[after - 1] <= stamps[after] - wanted + TIE
    chosen = np.unique(np.where(before_is_nearer, after - 1, after))
    late = (stamps[-1] - stamps[chosen[-1]]) * rate >= STEADY  # the last frame, between two of the wanted times
    return np.append(chosen, len(stamps) - 1) if late else chosen


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


def mean_rate(times: Sequence[float]) -> float:
    """Return the mean number of frames a second, to six digits; 30 for a single frame."""
    if len(times) < 2 or times[-1] <= times[0]:
        return 30.0
    return float(f"{(len(times) - 1) / (times[-1] - times[0]):.6g}")


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
        and probe.turn == AS_STORED
    )


def probe_video(path: Path) -> Probe:
    """Read the header and the first frame. Raises VimixError if the file is no video or has no video stream."""
    import av

    _require_file(path)
    try:
        with _opened(path) as container:
            stream = _moving(container)
            context = stream.codec_context
            first = next(iter(container.decode(stream)), None)
            average, base = as_fraction(stream.average_rate), as_fraction(stream.base_rate)
            return Probe(
                codec=context.name,
                pixels=context.pix_fmt or "",
                frames=stream.frames,
                rate=average,
                steady=average is not None and base is not None and abs(average - base) < Fraction(1, 100) * base,
                turn=AS_STORED if first is None else _turn(first),
                seconds=_declared_seconds(container, stream),
            )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VimixError(f"not a readable video: {_text(error)}") from error


def _opened(path: Path) -> Any:
    """Open a container of one of the formats in ``CONTAINERS`` that reads no other file and no network.

    Raises VimixError for any other format: a playlist with the name of a video, say. decord, which knows no such
    limits, only gets files that were opened here before.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        # An absolute path is never taken for an address such as concat:a|b.
        return av.open(str(path.absolute()), options=options)
    except av.error.ArgumentError as error:
        raise VimixError(f"not a video in a format that is read ({CONTAINERS})") from error


def as_fraction(rate: Any) -> Fraction | None:
    """Return a rate as a Fraction. From PyAV 19 on, rates have a type of PyAV's own, which has no ``abs``."""
    return None if rate is None else Fraction(rate.numerator, rate.denominator)


def _turn(frame: Any) -> Turn:
    """Read the display matrix of a frame: a, b, u, c, d, v, ... take (x, y) to (ax + cy, bx + dy), up to a shift."""
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a type that this PyAV does not know
        data = None
    if data is None:
        return AS_STORED
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32).tolist()
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    return Turn(swap, mirror=(c if swap else a) < 0, flip=(b if swap else d) < 0)


def _moving(container: Any) -> Any:
    """Return the first video stream that is no cover picture. Raises VimixError if there is none or it is too large."""
    from av.stream import Disposition

    streams = container.streams.video
    for stream in streams:
        if not stream.disposition & Disposition.attached_pic:
            if (context := stream.codec_context) is None:
                raise VimixError("its codec is unknown")
            require_at_most((context.width or 0) * (context.height or 0), MOST_PIXELS, "pixels of a frame")
            context.options = {"max_pixels": str(MOST_PIXELS)}  # for frames that grow later
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
        reader = decord.VideoReader(str(path.absolute()), ctx=decord.cpu(0), num_threads=1)
        # For videos narrower than 64 pixels decord returns four channels, because it misreads its line padding.
        if len(reader) != probe.frames or reader[0].shape[2] != 3:
            return None
        reader.seek(0)
        return [_at_most(reader.next().asnumpy(), short_side) for _ in range(len(reader))]
    except (decord.DECORDError, RuntimeError, StopIteration, IndexError, UnicodeError):  # file names that are not UTF-8
        return None


def _decode_pyav(path: Path, short_side: int, probe: Probe) -> tuple[list[float], list[Frame]]:
    import av

    times: list[float] = []
    frames: list[Frame] = []
    try:
        with _opened(path) as container:
            stream = _moving(container)
            stream.thread_type = "NONE"
            for time, frame in _shown(container, stream):
                times.append(time)
                frames.append(_at_most(probe.turn.upright(frame), short_side))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VimixError(f"damaged after {len(frames)} frames: {_text(error)}") from error
    if probe.frames and len(frames) < (1 - MISSING) * probe.frames:
        raise VimixError(f"truncated: {len(frames)} of {probe.frames} frames")
    shown = max(times, default=0.0) - min(times, default=0.0)
    whole = 0 < probe.frames <= len(frames)  # then the last frame is shown for long
    if not whole and shown < (1 - MISSING) * probe.seconds - GRACE:
        raise VimixError(f"truncated: {shown:.1f} of {probe.seconds:.1f} seconds")
    order = np.argsort(times, kind="stable")
    return [times[i] for i in order], [frames[i] for i in order]


def first_frames(path: Path, count: int) -> list[Frame]:
    """Decode the first ``count`` frames, at most, as a player shows them. Raises VimixError if there are none."""
    import av

    turn = probe_video(path).turn
    try:
        with _opened(path) as container:
            stream = _moving(container)
            frames = [turn.upright(frame) for _, frame in islice(_shown(container, stream), count)]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VimixError(f"not a readable video: {_text(error)}") from error
    if not frames:
        raise VimixError("no frame could be decoded")
    return frames


def _shown(container: Any, stream: Any) -> Iterator[tuple[float, Frame]]:
    """Yield time stamp and picture of each frame. A frame without a stamp follows the last one at the nominal rate."""
    step = 1 / float(stream.average_rate or 30)
    time = -step
    for frame in container.decode(stream):
        time = frame.time if frame.time is not None else time + step
        yield time, frame.to_ndarray(format="rgb24")


def _at_most(frame: Frame, short_side: int) -> Frame:
    return resized(frame, min(short_side, *frame.shape[:2]))


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
