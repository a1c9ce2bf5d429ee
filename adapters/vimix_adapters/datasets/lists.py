"""Lists of videos in the formats of data sets and other libraries; the content of a file decides its reader."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import ALIASES, read_csv
from vimix_adapters.datasets.kinetics import list_kinetics
from vimix_adapters.datasets.listing import VIDEO_ENDINGS, DatasetFile, Listing, is_folder, own_listing, shortened
from vimix_adapters.datasets.rows import ListRow, Places, Rows, split_of, twice
from vimix_adapters.datasets.text import csv_header, numbered_lines, read_text

_ENDING = "|".join(re.escape(ending) for ending in sorted(VIDEO_ENDINGS))
_NAMED = re.compile(rf"(.+?(?:{_ENDING}))(?:[ \t,]+(.+))?", re.IGNORECASE)
"""A path with the ending of a video, and what follows it."""
_NUMBERS = re.compile(r"(.+?)((?:[ \t,]+-?[0-9]{1,9})+)")
"""A path, and the numbers that end the line."""


HEADS = frozenset(["path", *(name for name, column in ALIASES.items() if column == "path")])
"""First words of a header."""


def list_videos(files: Sequence[Path], folder: Path | None = None, classes: Path | None = None) -> Listing:
    """List the videos of one or more lists, in any format that is known here.

    Paths are absolute or below ``folder``, by default the folder of each list. A list without splits has that of its
    file name. Labels that are numbers stay numbers, named by the lines of ``classes`` if it is given. A video without
    label serves pretraining only. Raises VimixError that names the line if a list cannot be read.
    """
    if any("youtube_id" in csv_header(file) for file in files):
        return list_kinetics(folder or files[0].parent, files)
    listed: dict[str, DatasetFile] = {}
    contents = [(file, _read(file, folder or file.parent)) for file in files]
    for file, content in contents:
        places = Places(folder or file.parent)
        in_this: set[str] = set()
        for row in content.rows:
            video = places.file_of(row)
            first = listed.get(video.name, video)
            if video.name in in_this or first.class_name != video.class_name:
                raise VimixError(f"{row.line}: {twice(first, video)}")
            in_this.add(video.name)
            listed[video.name] = evolve(first, splits=tuple(dict.fromkeys([*first.splits, *video.splits])))
    if not listed:
        names = ", ".join(map(str, files))
        raise VimixError(
            f"{names}: expected a line path,split[,label][,group] or 'path label' for each video, found none"
        )
    ordered = next((content.classes for _, content in contents if content.classes), ())
    videos = sorted(listed.values(), key=lambda video: video.name)
    listing = _with_classes(own_listing("csv", videos), ordered, classes)
    return evolve(listing, notes=(*(note for _, content in contents for note in content.notes), *listing.notes))


def _with_classes(listing: Listing, ordered: Sequence[str], names: Path | None) -> Listing:
    """Put the classes into the order of the list; numbers that ``names`` names get their names."""
    found = set(listing.classes)
    if names is not None:
        wanted = [re.sub(r"^[0-9]+[ ,\t]+", "", text) for _, text in numbered_lines(names)]
        if odd := [label for label in found if not label.isdecimal() or int(label) >= len(wanted)]:
            raise VimixError(f"{names}: names {len(wanted)} classes, numbered from 0, but a label is {min(odd)!r}")
        files = [evolve(f, class_name=f.class_name and wanted[int(f.class_name)]) for f in listing.files]
        return evolve(listing, files=tuple(files), classes=tuple(wanted))
    if found and all(label.isdecimal() for label in found):
        highest = max(map(int, found))
        unused = sorted({str(number) for number in range(highest + 1)} - found, key=int) if highest < 10**5 else []
        notes = (f"labels without a video: {shortened(unused)}",) if unused else ()
        return evolve(listing, classes=tuple(sorted(found | set(unused), key=int)), notes=notes)
    if ordered:
        return evolve(listing, classes=(*ordered, *sorted(found - set(ordered))))
    return listing


def _read(file: Path, folder: Path) -> Rows:
    """Read a list whose paths are below a folder, in the first format that it looks like."""
    if "path" in csv_header(file, ALIASES):
        return read_csv(file)
    first_line = next((text for _, text in numbered_lines(file)), "")
    if first_line[:1] in ("[", "{"):
        return _read_json(file)
    if ";" in first_line:
        return _read_semicolons(file)
    return _read_lines(file, folder)


def _read_json(file: Path) -> Rows:
    """Something-Something: a list of ``{"id": ..., "label": ..., "template": ...}``, or labels with their numbers."""
    try:
        data: Any = json.loads(read_text(file))
    except ValueError as error:
        raise VimixError(f"{file}: expected JSON as Something-Something has it ({error})") from error
    if isinstance(data, dict):
        numbers: Mapping[str, Any] = data
        if not all(str(number).isdecimal() for number in numbers.values()):
            raise VimixError(f"{file}: expected the number of each class, such as {{'Pushing something': '0'}}")
        return Rows(classes=sorted(numbers, key=lambda name: int(numbers[name])))
    rows = []
    for number, entry in enumerate(data if isinstance(data, list) else [data], 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str | int):
            raise VimixError(
                f"{file}, entry {number}: expected {{'id': ..., 'template': ...}}, found {str(entry)[:60]!r}"
            )
        label = entry.get("template") or entry.get("label")
        label = re.sub(r"[\[\]]", "", str(label)) if label else None
        rows.append(ListRow(f"{file}, entry {number}", str(entry["id"]), label, (split_of(file),)))
    return Rows(rows)


def _read_semicolons(file: Path) -> Rows:
    """Jester and Something-Something v1: ``id;label``, of the test set ``id``."""
    rows = []
    for number, text in numbered_lines(file):
        path, _, label = text.partition(";")
        rows.append(ListRow(f"{file}, line {number}", path.strip(), label.strip() or None, (split_of(file),)))
    return Rows(rows)


def _read_lines(file: Path, folder: Path) -> Rows:
    """SlowFast, VideoMAE, mmaction2: ``path label``, or ``path frames label`` for folders; spaces, commas or tabs."""
    lines = numbered_lines(file)
    if lines and lines[0][1].lower().split()[0].split(",")[0] in HEADS:
        lines = lines[1:]
    places, split = Places(folder), split_of(file)
    rows = []
    for number, text in lines:
        line = f"{file}, line {number}"
        path, label = _path_and_label(text, line, places)
        rows.append(ListRow(line, path, label, (split,)))
    return Rows(rows)


def _path_and_label(text: str, line: str, places: Places) -> tuple[str, str | None]:
    if match := _NUMBERS.fullmatch(text):
        path, numbers = match[1].strip(), re.split(r"[ \t,]+", match[2].strip(" \t,"))
    elif match := _NAMED.fullmatch(text):
        return match[1].strip(), match[2]
    elif len(cells := re.split(r"[,\t]+", text)) == 2:
        return cells[0].strip(), cells[1].strip() or None
    elif len(re.split(r"[ ,\t]+", text)) == 1:
        return text, None
    else:
        raise VimixError(f"{line}: expected 'path label' or 'path,label', got {text[:80]!r}")
    if len(numbers) > 1 and numbers[-2:] != ["0", "-1"]:
        # A folder of frames has their start and number before its label.
        found, _ = places.find(path, line)
        most = 3 if is_folder(found) else 1
        if len(numbers) > most:
            raise VimixError(f"{line}: {path} has {len(numbers)} labels: a store holds one label a video")
    return path, None if numbers[-1].startswith("-") else str(int(numbers[-1]))
