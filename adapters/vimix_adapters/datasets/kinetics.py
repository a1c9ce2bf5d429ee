"""Kinetics as it is distributed: CSV files ``label,youtube_id,time_start,time_end,split``."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import define, field

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import Listing, Wanted, found_on_disk
from vimix_adapters.datasets.text import csv_rows

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SPLITS = {"training": "train", "validate": "val", "validation": "val", "testing": "test"}
LAST_SECOND = 999_999
"""Six digits, as in the names of the clips."""


@define
class _Clip:
    youtube_id: str
    stem: str
    label: str | None
    splits: list[str] = field(factory=list)


def list_kinetics(videos: Path, annotations: Sequence[Path]) -> Listing:
    """The clips of all annotation files; a file without the column ``split`` is the split that its name says.

    Clips are called ``<youtube_id>_%06d_%06d`` by their seconds, or ``<youtube_id>`` where a video has one clip only,
    in folders of any name. The source is the YouTube video. Classes are the sorted labels of all files; the test file
    has none. Official totals are the annotations'. Raises VimixError naming file and line.
    """
    clips: dict[str, _Clip] = {}
    for file in annotations:
        read_annotations(file, clips)
    if not clips:
        raise VimixError(f"{', '.join(map(str, annotations))}: expected a line for each clip, found none")
    times = Counter(clip.youtube_id for clip in clips.values())
    wanted = [
        Wanted(
            f"{clip.label}/{stem}.mp4" if clip.label else f"{stem}.mp4",
            clip.label,
            clip.youtube_id,
            tuple(clip.splits),
            # Of a video with several clips a plain name would not say which.
            (stem, clip.youtube_id) if times[clip.youtube_id] == 1 else (stem,),
        )
        for stem, clip in clips.items()
    ]
    classes = sorted({clip.label for clip in clips.values() if clip.label})
    totals = Counter(split for clip in clips.values() for split in clip.splits)
    return found_on_disk("kinetics", wanted, videos, classes, list(totals), totals, fold=False)


def read_annotations(file: Path, clips: dict[str, _Clip]) -> None:
    """Add the file's clips by name; one that is there already gets the split besides."""
    for line, row in csv_rows(file, ("youtube_id", "time_start", "time_end"), ("label", "split")):
        place = f"{file}, line {line}"
        if not _YOUTUBE_ID.fullmatch(row["youtube_id"]):
            raise VimixError(f"{place}: youtube_id {row['youtube_id']!r} is none")
        start, end = (_seconds(place, key, row[key]) for key in ("time_start", "time_end"))
        stem = f"{row['youtube_id']}_{start:06d}_{end:06d}"
        clip = clips.setdefault(stem, _Clip(row["youtube_id"], stem, row["label"] or None))
        if row["label"] and clip.label not in (None, row["label"]):
            raise VimixError(f"{place}: {stem} is {row['label']!r} here and {clip.label!r} elsewhere")
        clip.label = clip.label or row["label"] or None
        split = row["split"].lower() or file.stem.lower()
        split = _SPLITS.get(split, split)
        clip.splits += [split] if split not in clip.splits else []


def _seconds(place: str, key: str, text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LAST_SECOND:
        raise VimixError(f"{place}: {key} {text!r} is no number of seconds from 0 to {LAST_SECOND}")
    return int(value)
