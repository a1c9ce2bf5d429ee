"""Own data by a list: ``path,split[,label][,group]``."""

import os
from pathlib import Path, PurePosixPath

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import Listed, Listing, source_of
from vimix_adapters.datasets.text import csv_rows


def list_csv(file: Path, folder: Path | None = None) -> Listing:
    """The videos of a CSV file with the header ``path,split[,label][,group]``.

    Paths are below ``folder``, by default the file's own. ``split`` may name several: ``train1;test2``. A video without
    label is for pretraining only; ``group`` (or ``source``) is the recording it was cut from.
    Raises VimixError if a line cannot be read, naming it.
    """
    root = folder if folder is not None else file.parent
    listed = sorted(listed_in(file, root), key=lambda video: video.name)
    if not listed:
        raise VimixError(f"{file}: expected a line path,split[,label][,group] for each video, found none")
    # A link that leads nowhere is there, and cannot be read.
    there = [video for video in listed if os.path.lexists(video.path)]
    missing = {video.name: video.splits for video in listed if not os.path.lexists(video.path)}
    classes = sorted({video.class_name for video in listed if video.class_name is not None})
    splits = sorted({name for video in listed for name in video.splits}, reverse=True)
    return Listing("csv", tuple(there), tuple(classes), tuple(splits), missing)


def listed_in(file: Path, folder: Path, labels_needed: bool = False) -> list[Listed]:
    """The lines of such a file in their order, whether the videos exist or not."""
    needed = ("path", "label", "split") if labels_needed else ("path", "split")
    listed: dict[str, Listed] = {}
    for number, row in csv_rows(file, needed, ("label", "group", "source")):
        video = _from_row(folder, f"{file}, line {number}", row)
        if video.name in listed:
            raise VimixError(f"{file}, line {number}: {video.name} is listed twice; each video belongs in one line")
        listed[video.name] = video
    return list(listed.values())


def _from_row(folder: Path, place: str, row: dict[str, str]) -> Listed:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise VimixError(f"{place}: {row['path']} must be a path below {folder}")
    splits = tuple(dict.fromkeys(name.strip() for name in row["split"].split(";")))
    if "" in splits:
        raise VimixError(f"{place}: split {row['split']!r} must be a name, or names with ; between them")
    name = path.as_posix()
    group = row["group"] or row["source"] or source_of(name)
    return Listed(folder / name, name, row["label"] or None, group, splits)
