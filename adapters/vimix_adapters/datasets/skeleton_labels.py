"""Label files that come with data sets of skeletons: Kinetics-skeleton's JSON, and PKU-MMD's segments."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import DatasetFile, Listing, noted, own_listing
from vimix_adapters.datasets.text import numbered_lines
from vimix_adapters.files import require_folder
from vimix_adapters.reading import read_json

KINETICS_LABELS = re.compile(r"(?:.*_)?(train|val|test)_label\.json")


def by_kinetics_labels(found: Sequence[DatasetFile], lists: Sequence[Path]) -> Listing:
    """List the files named in Kinetics-skeleton's ``kinetics_train_label.json`` and ``kinetics_val_label.json``.

    Each has ``{"NAME": {"has_skeleton": true, "label": "...", "label_index": 3}}``. Raises VimixError if one cannot be
    read.
    """
    by_stem = {file.path.stem: file for file in found}
    files, missing, excluded = [], [], []
    for path in lists:
        match = KINETICS_LABELS.fullmatch(path.name)
        split = match[1] if match else "all"
        for name, about in _kinetics(path).items():
            file = by_stem.get(name)
            if not about.get("has_skeleton", True):
                excluded.append((f"{name}.json", f"{path.name} says that it has no skeleton"))
            elif file is None:
                missing.append(f"{name}.json")
                files.append(DatasetFile(path.parent / name, f"{name}.json", str(about["label"]), name, (split,)))
            else:
                files.append(evolve(file, class_name=str(about["label"]), splits=(split,)))
    listing = own_listing("kinetics-skeleton", sorted(files, key=lambda file: file.name), missing)
    named = {Path(file.name).stem for file in files} | {Path(name).stem for name, _ in excluded}
    unused = [file.name for file in found if file.path.stem not in named]
    notes = noted("files are in no list of labels and were not used", unused)
    return evolve(listing, excluded=tuple(excluded), notes=notes)


def _kinetics(path: Path) -> Mapping[str, Mapping[str, object]]:
    content = read_json(path, "a list of labels in JSON")
    if not isinstance(content, dict) or not all(isinstance(row, dict) and "label" in row for row in content.values()):
        raise VimixError(f'{path}: expected {{"NAME": {{"label": ...}}}} for each file')
    return content


def by_segments(found: Sequence[DatasetFile], labels: Path, split: Path | None) -> Listing:
    """List the labelled segments of untrimmed recordings, as PKU-MMD has them.

    The folder ``labels`` has a text file for each recording, of the same name, with a line
    ``label,start,end[,confidence]`` for each segment: frames from 0, the end not included. ``split`` is PKU-MMD's own
    list (``Training videos:``, then names), or CSV with ``path,split``; without it all segments are in the split
    ``all``. Raises VimixError naming the line that cannot be read.
    """
    require_folder(labels, "label files")
    splits = _splits(split) if split is not None else None
    files: list[DatasetFile] = []
    left_out, excluded = [], []
    for file in found:
        if file.part:
            raise VimixError(
                f"{file.path}: --labels cuts recordings that have a file of their own into segments, and {file.part} "
                "is one of several there (OpenPose's folders, archives); store whole recordings, without --labels"
            )
        stem, path = file.path.stem, labels / f"{file.path.stem}.txt"
        if not path.is_file():
            left_out.append((file.name, f"{labels} has no {path.name}"))
        elif splits is not None and stem not in splits:
            excluded.append((file.name, f"{split} does not name it"))
        else:
            files += [
                evolve(file, name=f"{file.name}#{start}-{end}", class_name=label, part=f"{start}-{end}", splits=chosen)
                for label, start, end in _segments(path)
                for chosen in [("all",) if splits is None else splits[stem]]
            ]
    unique = {file.name: file for file in reversed(files)}
    twice = [file.name for file in files if unique[file.name] is not file]
    stems = {file.path.stem for file in found}
    alone = sorted(path.name for path in labels.glob("*.txt") if path.stem not in stems)
    notes = (
        *noted("segments have the frames of another one and were not used", twice),
        *noted("label files have no recording and were not used", alone),
    )
    listing = own_listing("segments", [file for file in files if unique[file.name] is file], ())
    classes = tuple(sorted(listing.classes, key=lambda name: (len(name), name)))
    return evolve(listing, classes=classes, left_out=tuple(left_out), excluded=tuple(excluded), notes=notes)


def _segments(path: Path) -> list[tuple[str, int, int]]:
    segments = []
    for number, line in numbered_lines(path):
        cells = [cell for cell in re.split(r"[,\s]+", line) if cell]
        try:
            label, start, end = (int(float(cell)) for cell in cells[:3])
        except ValueError as error:
            raise VimixError(f"{path}, line {number}: expected label,start,end, found {line[:40]!r}") from error
        if not 0 <= start < end:
            raise VimixError(f"{path}, line {number}: expected frames 0 <= start < end, found {start} and {end}")
        segments.append((str(label), start, end))
    return segments


def _splits(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the splits of each recording, by its name without ending."""
    lines = numbered_lines(path)
    if not any(line.lower().startswith("train") and line.endswith(":") for _, line in lines):
        rows = listed_in(path, path.parent)
        return {Path(row.name).stem: row.splits for row in rows}
    splits: dict[str, tuple[str, ...]] = {}
    current = "train"
    for _, line in lines:
        if line.endswith(":"):
            current = "train" if line.lower().startswith("train") else "test"
        else:
            splits.update({Path(name).stem: (current,) for name in re.split(r"[,\s]+", line) if name})
    return splits
