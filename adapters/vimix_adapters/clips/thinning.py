"""Thinning videos to a highest frame rate, while their frames are read."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

Picture = TypeVar("Picture")

STEADY = 0.95
"""Distance of two frames, as a share of 1/rate, from which they count as no faster than the rate."""
TIE = 1e-6
"""Seconds or frames below which two distances count as equal."""


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
