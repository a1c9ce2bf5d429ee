"""Lists as CSV with a header: ``path,split[,label][,group]``, and the times of segments."""

from collections.abc import Mapping
from pathlib import Path

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.datasets.rows import ListRow, Places, Rows, split_of, twice
from vimix_adapters.datasets.text import csv_header, csv_rows

ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("video", "video_path", "filename", "file_name", "file", "video_id", "frame_dir"), "path"),
    **dict.fromkeys(("class", "category", "target", "label_name", "class_name"), "label"),
    **dict.fromkeys(("start_time", "time_start", "t_start", "begin", "start_sec"), "start"),
    **dict.fromkeys(("end_time", "time_end", "t_end", "stop", "end_sec"), "end"),
    **dict.fromkeys(("stop_frame",), "end_frame"),
    "set": "split",
}
"""Columns by other names that lists give them."""
OPTIONAL = ("label", "split", "group", "source", "start", "end", "start_frame", "end_frame", "fps")


def read_csv(file: Path) -> Rows:
    """Read the rows; a list without the column split has that of its file name.

    ``split`` may name several splits: ``train1;test2``. ``group`` (or ``source``) is the recording from which a clip
    was cut. ``start,end`` are seconds, ``start_frame,end_frame`` numbers of frames from 0; ``fps`` is the rate of a
    folder of frames. Raises VimixError that names the line if it cannot be read.
    """
    header = csv_header(file, ALIASES)
    unused = [name for name in header if name and name not in ("path", *OPTIONAL)]
    notes = [f"{file}: columns that are not used: {', '.join(unused)}"] if unused else []
    needed = ("path", "split") if "split" in header else ("path",)
    named = () if "split" in header else (split_of(file),)
    rows = csv_rows(file, needed, [name for name in OPTIONAL if name not in needed], ALIASES)
    return Rows([_row(f"{file}, line {number}", row, named) for number, row in rows], notes=tuple(notes))


def listed_in(file: Path, folder: Path, labels_needed: bool = False) -> list[DatasetFile]:
    """Read the rows of a list ``path,split,...`` in their order, whether the files exist or not.

    Raises VimixError that names the line if it cannot be read, or lacks a label and ``labels_needed``.
    """
    needed = ("path", "label", "split") if labels_needed else ("path", "split")
    listed: dict[str, DatasetFile] = {}
    places = Places(folder)
    for number, cells in csv_rows(file, needed, [name for name in OPTIONAL if name not in needed]):
        row = _row(f"{file}, line {number}", cells, ())
        video = places.file_of(row)
        if video.name in listed:
            raise VimixError(f"{row.line}: {twice(listed[video.name], video)}")
        listed[video.name] = video
    return list(listed.values())


def _row(line: str, cells: Mapping[str, str], named: tuple[str, ...]) -> ListRow:
    splits = named or tuple(dict.fromkeys(name.strip() for name in cells["split"].split(";")))
    if "" in splits:
        raise VimixError(f"{line}: split {cells['split']!r} must be a name, or names with ; between them")
    if ";" in cells["label"] or "|" in cells["label"]:
        raise VimixError(
            f"{line}: {cells['label']!r} are several labels: a store holds one label a video; name the time of each in "
            "the columns start,end (seconds) or start_frame,end_frame, or list one"
        )
    rate = _number(line, "fps", cells["fps"]) or 0.0
    source = cells["group"] or cells["source"]
    return ListRow(line, cells["path"], cells["label"] or None, splits, source, _segment(line, cells), rate)


def _segment(line: str, cells: Mapping[str, str]) -> Segment | None:
    found = []
    for first, last in (("start", "end"), ("start_frame", "end_frame")):
        start, end = _number(line, first, cells[first]), _number(line, last, cells[last])
        if (start is None) != (end is None):
            raise VimixError(f"{line}: expected both {first} and {last}, found one of them")
        if start is not None and end is not None:
            found.append((start, end, first == "start_frame"))
    if len(found) > 1:
        raise VimixError(f"{line}: expected start,end or start_frame,end_frame, found both")
    try:
        return Segment(*found[0]) if found else None
    except VimixError as error:
        raise VimixError(f"{line}: {error}") from error


def _number(line: str, name: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise VimixError(f"{line}: {name} {text!r} is not a number") from error
