"""Rows of a list of videos, whatever its format, and the files on the disk that they name."""

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from attrs import field, frozen

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.datasets.listing import VIDEO_ENDINGS, DatasetFile, is_folder, source_of
from vimix_adapters.image_names import is_pattern

_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(ing|id|idation|set|list)?(?![a-z])")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders and of cells that mean a split, in lower case."""


@frozen
class ListRow:
    """The content of a list about one clip."""

    line: str
    """File and line, for messages."""
    path: str
    label: str | None
    splits: tuple[str, ...]
    source: str = ""
    """Recording from which the clip was cut; empty: that of its name."""
    segment: Segment | None = None
    rate: float = 0.0
    """Frames a second of a folder of frames; 0: not known."""


@frozen
class Rows:
    """Content of a list."""

    rows: Sequence[ListRow] = ()
    classes: Sequence[str] = ()
    """Class names in the order of their labels, if the list has an order."""
    notes: tuple[str, ...] = ()
    """Sentences about what is not used."""


def split_of(file: Path) -> str:
    """Return the split for which the name of a list stands: ``kinetics_val_list.txt`` is ``val``; ``train`` if none."""
    match = _SPLIT.search(file.stem.lower())
    return match[1] if match else "train"


@frozen
class Places:
    """Finds the paths of a list, which are below ``folder`` or absolute."""

    folder: Path
    _seen: dict[Path, dict[str, list[str]]] = field(factory=dict, init=False, eq=False)

    def file_of(self, row: ListRow) -> DatasetFile:
        """Find the file of a row. Raises VimixError as ``find`` does."""
        path, name = self.find(row.path, row.line)
        last = PurePosixPath(row.path).name
        return DatasetFile(
            path,
            with_segment(name, row.segment),
            row.label,
            row.source or source_of(name),
            row.splits,
            row.segment,
            last if is_pattern(last) else "",
            row.rate,
        )

    def find(self, text: str, line: str) -> tuple[Path, str]:
        """Find a video file, or a folder of frames, also by their pattern (``clip/img_%05d.jpg``); name the clip.

        A path without ending takes the video of that name. An absolute path that does not exist, because the list comes
        from another machine, is looked for below ``folder`` by its last parts. A file that is not found keeps
        the path of the list. Raises VimixError for a path that leads out of the folder, or fits two files.
        """
        path = PurePosixPath(text)
        if ".." in path.parts or not path.parts:
            raise VimixError(f"{line}: {text} must be a path below {self.folder}, or an absolute one")
        found = self._lookup(path, line)
        name = found.relative_to(self.folder) if found.is_relative_to(self.folder) else found.relative_to(found.anchor)
        return found.parent if is_pattern(path.name) else found, name.as_posix()

    def _lookup(self, path: PurePosixPath, line: str) -> Path:
        candidates = [self.folder / path]
        if path.is_absolute():
            candidates += [self.folder.joinpath(*path.parts[start:]) for start in range(1, len(path.parts))]
        for candidate in candidates:
            if os.path.lexists(candidate.parent if is_pattern(path.name) else candidate):
                return candidate
            if videos := [] if is_pattern(path.name) else self._of_stem(candidate):
                if len(videos) > 1:
                    raise VimixError(f"{line}: {path} fits {videos[0]} and {videos[1]}: name one with its ending")
                return candidate.with_name(videos[0])
        return candidates[0]

    def _of_stem(self, path: Path) -> list[str]:
        """Return the videos whose name without ending is that of the path."""
        if path.suffix.lower() in VIDEO_ENDINGS:
            return []
        if path.parent not in self._seen:
            self._seen[path.parent] = _videos_in(path.parent)
        return self._seen[path.parent].get(path.name, [])


def _videos_in(folder: Path) -> dict[str, list[str]]:
    """Return the names of the videos in a folder, by name without ending."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if is_folder(folder) else ():
        if path.suffix.lower() in VIDEO_ENDINGS and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path.name)
    return found


def with_segment(name: str, segment: Segment | None) -> str:
    """Return the name of a clip that is a part of a video: ``a.mp4`` from 1.2 to 2.8 s is ``a@1.2-2.8s.mp4``."""
    if segment is None:
        return name
    path = PurePosixPath(name)
    ending = path.suffix if path.suffix.lower() in VIDEO_ENDINGS else ""
    return f"{name.removesuffix(ending)}@{segment}{ending}"


def twice(first: DatasetFile, second: DatasetFile) -> str:
    """Return the error for a clip that is listed twice."""
    if first.class_name == second.class_name:
        return f"{second.name} is listed twice; each video belongs in one line"
    return (
        f"{second.name} has several labels, {first.class_name!r} and {second.class_name!r}: a store holds one label a "
        "video; name the time of each in the columns start,end (seconds) or start_frame,end_frame, or list it once"
    )
