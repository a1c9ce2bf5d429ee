"""Own data as a CSV list: ``path,split[,label][,group]``."""

from pathlib import Path, PurePosixPath

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import DatasetFile, Listing, own_listing, source_of
from vimix_adapters.datasets.text import csv_rows


def list_csv(file: Path, folder: Path | None = None) -> Listing:
    """List the videos of a CSV file with the header ``path,split[,label][,group]``.

    Paths are relative to ``folder``, by default the folder of the list. ``split`` may name several splits:
    ``train1;test2``. A video without label serves pretraining only; ``group`` (or ``source``) is the recording from
    which it was cut. Raises VimixError that names the line if it cannot be read.
    """
    videos = listed_in(file, folder if folder is not None else file.parent)
    if not videos:
        raise VimixError(f"{file}: expected a line path,split[,label][,group] for each video, found none")
    return own_listing("csv", sorted(videos, key=lambda video: video.name))


def listed_in(file: Path, folder: Path, labels_needed: bool = False) -> list[DatasetFile]:
    """Read the rows of such a list in their order, whether the files exist or not.

    Raises VimixError that names the line if it cannot be read, or lacks a label and ``labels_needed``.
    """
    needed = ("path", "label", "split") if labels_needed else ("path", "split")
    listed: dict[str, DatasetFile] = {}
    for number, row in csv_rows(file, needed, ("label", "group", "source")):
        video = _from_row(folder, f"{file}, line {number}", row)
        if video.name in listed:
            raise VimixError(f"{file}, line {number}: {video.name} is listed twice; each video belongs in one line")
        listed[video.name] = video
    return list(listed.values())


def _from_row(folder: Path, line: str, row: dict[str, str]) -> DatasetFile:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise VimixError(f"{line}: {row['path']} must be a path below {folder}")
    splits = tuple(dict.fromkeys(name.strip() for name in row["split"].split(";")))
    if "" in splits:
        raise VimixError(f"{line}: split {row['split']!r} must be a name, or names with ; between them")
    name = path.as_posix()
    group = row["group"] or row["source"] or source_of(name)
    return DatasetFile(folder / name, name, row["label"] or None, group, splits)
