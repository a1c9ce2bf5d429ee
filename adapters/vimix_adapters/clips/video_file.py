"""Frames of a video file, read by decord where it can, else by PyAV.

Callers run this in a process that can be killed, because a file may hang the decoder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.clips.decord_frames import PLAIN_CODECS, decord_frames
from vimix_adapters.clips.display import Display, Frame, display_of
from vimix_adapters.clips.limits import LONGEST_SECONDS, MOST_PIXELS, require_at_most
from vimix_adapters.files import regular_file

MISSING = 0.1
"""Share of the declared frames, or of a segment, that may be missing before a file counts as truncated."""
GRACE = 0.5
"""Seconds by which a declared length may be wrong in addition."""
TIE = 1e-6
"""Seconds or frames below which two distances count as equal."""
EXACT = ("mov", "matroska")
"""Beginnings of the names of containers that store a time for every frame, so that a search finds the right one."""
AHEAD = 2**29
"""Bytes of pictures that decord may hold: it decodes ahead of a slow reader, in the worst case the whole file. PyAV
decodes one frame at a time and reads larger files."""
NOMINAL = 30.0
"""Frames a second of a file that declares no rate."""
CONTAINERS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,m4v,h264,hevc,ivf,gif,dv,rm,mxf,nut"
"""Container formats that are read, by FFmpeg's names (mov: also MP4). None opens other files or the network."""


@frozen
class Probe:
    """Properties of the first video stream, as the container declares them."""

    frames: int
    """Number of frames, 0 if not declared."""
    rate: Fraction | None
    """Frames per second, or None."""
    steady: bool
    """Whether the header declares a constant frame rate."""
    display: Display
    """Rotation, mirroring and shape of pixels of the pictures."""
    seconds: float
    """Length of the video. 0 if it is not declared, or if only that of the file is and it has sound."""
    first: float
    """Time stamp of the first frame in seconds."""
    plain: bool
    """Whether decord shows the frames as a player does, all at the nominal rate, and holds at most ``AHEAD`` bytes."""

    @property
    def step(self) -> float:
        """Seconds from one frame to the next at the nominal rate."""
        return 1 / float(self.rate or NOMINAL)


@frozen(slots=False)
class VideoFile:
    """The frames of a video file or GIF, read one after the other."""

    path: Path

    @cached_property
    def probe(self) -> Probe:
        """The header. Raises VimixError if the file is no video or has no video stream."""
        return probe_video(self.path)

    @property
    def seconds(self) -> float:
        """Declared length of the video, 0 if it has none."""
        return self.probe.seconds or self.probe.frames * self.probe.step

    @property
    def rate(self) -> float:
        """Declared frames per second; 30 if none are declared."""
        return 1 / self.probe.step

    def closest(self) -> float:
        """Return the smallest distance of two neighbouring frames in seconds, from the header or the time stamps."""
        if self.probe.steady:
            return self.probe.step
        try:
            times = _packet_times(self.path)
            if times is None:  # the container stores no times: those of the decoded frames count
                times = [time for time, _ in self._decoded(0.0)]
        except _failures() as error:
            raise VimixError(f"damaged: {_text(error)}") from error
        return min((after - before for before, after in pairwise(sorted(times))), default=float("inf"))

    def shown(self, short_side: int, segment: Segment | None = None) -> Iterator[tuple[float, Frame]]:
        """Yield seconds since the first frame, ascending, and the picture as a player shows it, uint8 [H, W, 3].

        The shorter side is at most ``short_side`` pixels. Raises VimixError if the video or its ``segment`` is not
        whole.
        """
        count, time, number = 0, 0.0, -1
        search = segment.start if segment is not None and not segment.in_frames else 0.0
        try:
            for number, (time, frame) in enumerate(self._decoded(search) if segment else self._whole()):
                if segment is not None:
                    place = number if segment.in_frames else time
                    if place >= segment.end - TIE:
                        return
                    if place < segment.start - TIE:
                        continue
                require_at_most(time, LONGEST_SECONDS, "seconds from the first frame")
                count += 1
                yield time, self.probe.display.shown(_rgb(frame), short_side)
        except _failures() as error:
            raise VimixError(f"damaged after {count} frames: {_text(error)}") from error
        if segment is None:
            self._require_whole(count, time)
        else:
            self._require_segment(segment, number + 1 if segment.in_frames else time + self.probe.step, count)

    def _whole(self) -> Iterator[tuple[float, Any]]:
        """Yield times and frames of the whole file: by decord while it can, from there on by PyAV."""
        done = 0
        if self.probe.plain:
            for picture in decord_frames(self.path, self.probe.frames):
                yield done * self.probe.step, picture
                done += 1
        if not done or done < self.probe.frames:
            yield from islice(self._decoded(0.0), done, None)

    def _decoded(self, start: float) -> Iterator[tuple[float, Any]]:
        """Yield times and frames from the key frame before ``start``, or from the first if none is found by search."""
        for search in (True, False) if start > 1 else (False,):
            with _opened(self.path) as (container, stream):
                if search and not _seek(container, stream, start + self.probe.first):
                    continue
                decoded = container.decode(stream)
                head = next(decoded, None)
                stamp = None if head is None else _stamp(container, head)
                if search and (stamp is None or stamp - self.probe.first > start):
                    continue
                frames = chain([] if head is None else [head], decoded)
                yield from _clocked(container, frames, self.probe.first, self.probe.step)
                return

    def _require_whole(self, count: int, length: float) -> None:
        if self.probe.frames and count < (1 - MISSING) * self.probe.frames:
            raise VimixError(f"truncated: {count} of {self.probe.frames} frames")
        whole = 0 < self.probe.frames <= count  # then the last frame is shown for long
        if not whole and length < (1 - MISSING) * self.probe.seconds - GRACE:
            raise VimixError(f"truncated: {length:.1f} of {self.probe.seconds:.1f} seconds")

    def _require_segment(self, segment: Segment, end: float, count: int) -> None:
        grace = GRACE / self.probe.step if segment.in_frames else GRACE
        if not count or end + grace + MISSING * (segment.end - segment.start) < segment.end:
            unit = "frames" if segment.in_frames else "seconds"
            raise VimixError(f"the segment ends at {segment.end:g} {unit}, the video at {end:.4g}")


def probe_video(path: Path) -> Probe:
    """Read the header and the first frame. Raises VimixError if the file is no video or has no video stream."""
    if regular_file(path).st_size == 0:
        raise VimixError("empty file")
    try:
        with _opened(path) as (container, stream):
            first = next(iter(container.decode(stream)), None)
            average, base = as_fraction(stream.average_rate), as_fraction(stream.base_rate)
            steady = average is not None and base is not None and abs(average - base) < Fraction(1, 100) * base
            display = Display() if first is None else display_of(first, stream.sample_aspect_ratio)
            return Probe(
                frames=stream.frames,
                rate=average,
                steady=steady,
                display=display,
                plain=steady and display == Display() and _is_plain(container, stream),
                seconds=_declared_seconds(container, stream),
                first=0.0 if first is None else _stamp(container, first) or 0.0,
            )
    except _failures() as error:
        raise VimixError(f"not a readable video: {_text(error)}") from error


def as_fraction(rate: Any) -> Fraction | None:
    """Return a rate as a Fraction. From PyAV 19 on, rates have a type of PyAV's own, which has no ``abs``."""
    return None if rate is None else Fraction(rate.numerator, rate.denominator)


def _is_plain(container: Any, stream: Any) -> bool:
    """Whether decord reads the frames in the order of display, and may hold all of them."""
    return (
        container.format.name.startswith(EXACT)
        and stream.codec_context.name in PLAIN_CODECS
        and stream.codec_context.pix_fmt == "yuv420p"
        and stream.frames > 1
        and 3 * stream.frames * stream.codec_context.width * stream.codec_context.height <= AHEAD
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open the file and its first video stream that is not a cover picture.

    The container has one of the formats in ``CONTAINERS`` and reads no other file and no network. decord has no such
    limits, so it gets only files that were opened here before. Raises VimixError for any other format (such as a
    playlist that is named like a video), for a file without a video stream, and for frames that are too large.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    try:
        # An absolute path is never taken for an address such as concat:a|b.
        container = av.open(str(path.absolute()), options=options)
    except av.error.ArgumentError as error:
        raise VimixError(f"not a video in a format that is read ({CONTAINERS})") from error
    with container:
        stream = _moving(container)
        stream.thread_type = "NONE"
        yield container, stream


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


def _packet_times(path: Path) -> list[float] | None:
    """Return the time stamps of all packets, which are not decoded; None if one has none."""
    with _opened(path) as (container, stream):
        packets = [packet for packet in container.demux(stream) if packet.size]
        if any(packet.pts is None for packet in packets):
            return None
        return [float(packet.pts * packet.time_base) for packet in packets]


def _seek(container: Any, stream: Any, seconds: float) -> bool:
    """Go to the key frame before a time; returns whether time stamps there are those of reading from the start."""
    if not container.format.name.startswith(EXACT):
        return False
    try:
        container.seek(round(seconds / stream.time_base), stream=stream)
    except _failures():
        return False
    return True


def _stamp(container: Any, frame: Any) -> float | None:
    """Return the time of a frame in seconds: in AVI, which stores no times of display, that of decoding."""
    if container.format.name != "avi":
        return None if frame.time is None else float(frame.time)
    return None if frame.dts is None else float(frame.dts * frame.time_base)


def _clocked(container: Any, frames: Iterator[Any], first: float, step: float) -> Iterator[tuple[float, Any]]:
    """Yield seconds since the first frame, ascending, and frames, which a decoder gives in the order of display.

    A frame without a time stamp follows the last one at the nominal rate; so does one with an earlier stamp, as after a
    clock was set back where two recordings were joined.
    """
    last = -step
    for frame in frames:
        stamp = _stamp(container, frame)
        last = last + step if stamp is None or stamp - first < last else stamp - first
        yield last, frame


def _rgb(frame: Any) -> Frame:
    """Return the picture uint8 [H, W, 3] with levels from 0 to 255, whatever their range in the file."""
    if isinstance(frame, np.ndarray):  # decord's
        return frame
    picture: Frame = frame.reformat(format="rgb24", src_color_range=frame.color_range, dst_color_range=2).to_ndarray()
    return picture


def _failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that PyAV raises for a damaged file."""
    import av

    return (av.error.FFmpegError, OSError, ValueError)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())
