"""Kinetics as it is distributed: CSV files ``label,youtube_id,time_start,time_end,split``."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import ListedClip, Listing, find_clips
from vimix_adapters.datasets.text import csv_rows

_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SPLITS = {"training": "train", "validate": "val", "validation": "val", "testing": "test"}
LAST_SECOND = 999_999
"""Largest time that the six digits in the name of a clip can hold."""


def list_kinetics(videos: Path, annotations: Sequence[Path]) -> Listing:
    """List the clips of all annotation files; a file without the column ``split`` is named like its split.

    A clip is called ``<youtube_id>_%06d_%06d`` by its seconds, or ``<youtube_id>`` if its video has one clip only, in
    folders of any name. The source is the YouTube video. Classes are the sorted labels of all files; the test file has
    none. The annotations count as the official totals. Raises VimixError that names file and line.
    """
    clips: dict[str, ListedClip] = {}
    for file in annotations:
        read_annotations(file, clips)
    if not clips:
        raise VimixError(f"{', '.join(map(str, annotations))}: expected a line for each clip, found none")
    times = Counter(clip.source for clip in clips.values())
    listed = [
        evolve(
            clip,
            name=f"{clip.class_name}/{stem}.mp4" if clip.class_name else f"{stem}.mp4",
            # The plain name of a video with several clips would not say which clip it is.
            stems=(stem, clip.source) if times[clip.source] == 1 else (stem,),
        )
        for stem, clip in clips.items()
    ]
    classes = sorted({clip.class_name for clip in listed if clip.class_name})
    totals = Counter(split for clip in listed for split in clip.splits)
    return find_clips("kinetics", listed, videos, classes, totals, ignore_case=False)


def read_annotations(file: Path, clips: dict[str, ListedClip]) -> None:
    """Add the clips of the file to ``clips``, by name; a clip that is listed already gets one more split."""
    for number, row in csv_rows(file, ("youtube_id", "time_start", "time_end"), ("label", "split")):
        line = f"{file}, line {number}"
        if not _YOUTUBE_ID.fullmatch(row["youtube_id"]):
            raise VimixError(f"{line}: youtube_id {row['youtube_id']!r} is not the id of a video")
        start, end = (_seconds(line, key, row[key]) for key in ("time_start", "time_end"))
        stem = f"{row['youtube_id']}_{start:06d}_{end:06d}"
        clip = clips.get(stem, ListedClip(stem, None, row["youtube_id"], (stem,)))
        if row["label"] and clip.class_name not in (None, row["label"]):
            raise VimixError(f"{line}: {stem} is {row['label']!r} here and {clip.class_name!r} elsewhere")
        split = row["split"].lower() or file.stem.lower()
        splits = dict.fromkeys([*clip.splits, _SPLITS.get(split, split)])
        clips[stem] = evolve(clip, class_name=clip.class_name or row["label"] or None, splits=tuple(splits))


def _seconds(line: str, key: str, text: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= LAST_SECOND:
        raise VimixError(f"{line}: {key} {text!r} is not a number of seconds from 0 to {LAST_SECOND}")
    return int(value)
