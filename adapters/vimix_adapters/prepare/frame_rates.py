"""The frame rates of a data set's files, for the report of ``vimix prepare``."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from vimix_adapters.clips.hdf5_writer import FileTiming

SHOWN = 5
"""Number of different rates that are printed; the report lists all."""
MIXED = 1.02
"""Ratio of the highest to the lowest stored rate from which a set counts as mixed."""


def rates_data(timings: Sequence[FileTiming], ceiling: float) -> dict[str, Any]:
    """Return the rates found, with the number of videos of each, and what was thinned, as plain data."""
    return {
        "ceiling": ceiling,
        "found": dict(Counter(_text(t.rate) for t in timings).most_common()),
        "thinned_videos": sum(t.thinned > 0 for t in timings),
        "thinned_frames": sum(t.thinned for t in timings),
        "mixed": _mixed(timings, ceiling),
    }


def rates_lines(timings: Sequence[FileTiming], ceiling: float) -> list[str]:
    """Return the same in a line, and a warning if the stored videos have different rates."""
    data = rates_data(timings, ceiling)
    found = [f"{rate} ({count:,})" for rate, count in data["found"].items()]
    more = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    lines = [f"frames a second (videos): {', '.join([*found[:SHOWN], *more])}"]
    if data["thinned_videos"]:
        lines.append(
            f"thinned to {ceiling:g} frames a second: {data['thinned_videos']:,} videos; "
            f"{data['thinned_frames']:,} of {sum(t.frames for t in timings):,} frames are not stored"
        )
    if data["mixed"]:
        low, high = (_text(rate) for rate in data["mixed"])
        lines.append(
            f"warning: the stored videos have {low} to {high} frames a second, so clips of the same number of frames "
            f"last differently long; --rate {low} thins them all to the lowest"
        )
    return lines


def _mixed(timings: Sequence[FileTiming], ceiling: float) -> list[float]:
    """Return the lowest and the highest stored rate if they differ, else nothing. A single frame has no rate."""
    rates = [min(t.rate, ceiling or t.rate) for t in timings if t.frames > 1]
    low, high = min(rates, default=0.0), max(rates, default=0.0)
    return [low, high] if high > MIXED * low else []


def _text(rate: float) -> str:
    return f"{rate:.4g}"
