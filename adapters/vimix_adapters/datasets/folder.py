"""A folder of videos, ``CLASS/clip.mp4``, as a list of what to pack."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import VIDEO_ENDINGS, Listed, Listing, source_of, text_name, video_files
from vimix_adapters.files import require_folder

TEST_SHARE = 0.3


def list_folder(folder: Path, split: Path | None = None) -> list[Listed]:
    """All video files below ``folder``, sorted by name.

    The class is the first folder of the path. ``split`` is a CSV file with the header ``path,label,split[,source]`` and
    paths below ``folder``; files it does not list are left out. Without it, sources of each class go to ``train`` and
    ``test`` (30 %, at least one of each where a class has two), by a hash of their names: the same on every machine.
    Raises VimixError if the folder or the list is missing or has no video, or a line cannot be read.
    """
    require_folder(folder, "CLASS/clip.mp4 below it")
    listed = listed_in(split, folder, labels_needed=True) if split else _from_folders(folder)
    if not listed:
        endings = ", ".join(sorted(VIDEO_ENDINGS))
        raise VimixError(f"{folder}: expected videos as CLASS/clip.mp4 ({endings}), found none")
    return sorted(listed, key=lambda video: video.name)


def folder_listing(folder: Path, split: Path | None = None) -> Listing:
    """``list_folder`` with its classes and splits."""
    listed = list_folder(folder, split)
    classes = sorted({video.class_name for video in listed if video.class_name is not None})
    splits = dict.fromkeys(sorted({name for video in listed for name in video.splits}, reverse=True))
    return Listing("folder", tuple(listed), tuple(classes), tuple(splits))


def _from_folders(folder: Path) -> list[Listed]:
    names = {path: text_name(path, folder) for path in video_files(folder)}
    # What lies in no folder has no class.
    classes = {path: name.split("/")[0] for path, name in names.items() if "/" in name}
    splits = _drawn([(class_name, source_of(names[path])) for path, class_name in classes.items()])
    return [
        Listed(path, names[path], name, source_of(names[path]), (splits[name, source_of(names[path])],))
        for path, name in classes.items()
    ]


def _drawn(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """``train`` or ``test`` by class and source."""
    splits: dict[tuple[str, str], str] = {}
    for class_name in dict.fromkeys(name for name, _ in pairs):
        sources = sorted({s for c, s in pairs if c == class_name}, key=lambda s: sha256(s.encode()).digest())
        tests = round(TEST_SHARE * len(sources))
        tests = min(max(tests, 1), len(sources) - 1)
        splits |= {(class_name, source): "test" if i < tests else "train" for i, source in enumerate(sources)}
    return splits
