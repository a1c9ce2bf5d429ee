"""Own data as a folder of videos, ``CLASS/clip.mp4``."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import (
    VIDEO_ENDINGS,
    DatasetFile,
    Listing,
    name_below,
    own_listing,
    source_of,
    video_files,
)
from vimix_adapters.files import require_folder

TEST_SHARE = 0.3
"""Share of a class's sources that go to the split ``test``."""


def list_folder(folder: Path, split: Path | None = None) -> Listing:
    """List the video files below ``folder``; the first folder of a path is the class.

    ``split`` is a CSV file with the header ``path,label,split[,source]`` and paths below ``folder``; files it does not
    list are left out. Without it, the sources of each class go to ``train`` and ``test`` (30 %, at least one in each if
    the class has two) by a hash of their names, which is the same on every machine.
    Raises VimixError if the folder or the list is missing or has no video, or a line cannot be read.
    """
    require_folder(folder, "CLASS/clip.mp4 below it")
    files = listed_in(split, folder, labels_needed=True) if split else _from_folders(folder)
    if not files:
        endings = ", ".join(sorted(VIDEO_ENDINGS))
        raise VimixError(f"{folder}: expected videos as CLASS/clip.mp4 ({endings}), found none")
    return own_listing("folder", sorted(files, key=lambda file: file.name))


def _from_folders(folder: Path) -> list[DatasetFile]:
    names = {path: name_below(path, folder) for path in video_files(folder)}
    # A file outside of all folders has no class.
    classes = {path: name.split("/")[0] for path, name in names.items() if "/" in name}
    splits = _drawn((class_name, source_of(names[path])) for path, class_name in classes.items())
    files = []
    for path, class_name in classes.items():
        source = source_of(names[path])
        files.append(DatasetFile(path, names[path], class_name, source, (splits[class_name, source],)))
    return files


def _drawn(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return ``train`` or ``test`` for each (class, source)."""
    by_class: dict[str, set[str]] = {}
    for class_name, source in pairs:
        by_class.setdefault(class_name, set()).add(source)
    splits = {}
    for class_name, sources in by_class.items():
        tests = min(max(round(TEST_SHARE * len(sources)), 1), len(sources) - 1)
        for number, source in enumerate(sorted(sources, key=lambda name: sha256(name.encode()).digest())):
            splits[class_name, source] = "test" if number < tests else "train"
    return splits
