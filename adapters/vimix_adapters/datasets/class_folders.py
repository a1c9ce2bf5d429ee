"""Own data as a folder of videos, ``CLASS/clip.mp4`` or ``train/CLASS/clip.mp4``."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import (
    VIDEO_ENDINGS,
    DatasetFile,
    Listing,
    name_below,
    noted,
    own_listing,
    source_of,
    video_files,
)
from vimix_adapters.datasets.rows import SPLITS
from vimix_adapters.files import require_folder

TEST_SHARE = 0.3
"""Share of a class's sources that go to the split ``test``."""
LOOSE = "lies in no class folder: move it into one, list it (vimix prepare csv), or store it with --unlabelled"


def list_folder(folder: Path, split: Path | None = None, unlabelled: bool = False) -> Listing:
    """List the clips below ``folder``: video files, and folders of numbered images; the first folder is the class.

    If all first folders are called train, val or test (or training, valid, validation, testing), they are the splits
    and the next folder is the class. Otherwise the sources of each class go to ``train`` and ``test`` (30 %, at least
    one in each if the class has two) by a hash of their names, which is the same on every machine. Clips in no class
    folder are left out, or have no label if ``unlabelled``. ``split`` is a CSV file with the header
    ``path,label,split[,source]`` and paths below ``folder``; files it does not list are left out.
    Raises VimixError if the folder or the list is missing or has no video, or a line cannot be read.
    """
    require_folder(folder, "CLASS/clip.mp4 below it")
    found = video_files(folder)
    names = {path: name_below(path, folder) for path in found.paths}
    if split is not None:
        files = listed_in(split, folder, labels_needed=True)
        unlisted = sorted(set(names) - {file.path for file in files})
        notes = noted(f"videos are not in {split}", [names[path] for path in unlisted])
    else:
        files = _from_folders(names)
        notes = tuple(_remarks(folder, files))
    if not files:
        endings = ", ".join(sorted(VIDEO_ENDINGS))
        seen = f" ({'; '.join(found.notes)})" if found.notes else ""
        raise VimixError(f"{folder}: expected videos as CLASS/clip.mp4 ({endings}), found none{seen}")
    loose = [] if unlabelled else [file for file in files if file.class_name is None]
    if len(loose) == len(files):
        raise VimixError(
            f"{folder}: {len(files)} videos, but none in a class folder (CLASS/clip.mp4). Without labels they serve "
            "pretraining: add --unlabelled. With labels, move them into folders, or list them: vimix prepare csv"
        )
    kept = sorted((file for file in files if unlabelled or file.class_name is not None), key=lambda file: file.name)
    left_out = tuple((file.name, LOOSE) for file in loose)
    return evolve(own_listing("folder", kept), left_out=left_out, notes=(*found.notes, *notes))


def _from_folders(names: Mapping[Path, str]) -> list[DatasetFile]:
    tops = {name.split("/")[0].lower() for name in names.values() if "/" in name}
    if tops and tops <= SPLITS.keys():
        splits = {path: SPLITS.get(name.split("/")[0].lower(), "train") for path, name in names.items()}
        inner = {path: name.partition("/")[2] for path, name in names.items()}
    else:
        splits, inner = {}, dict(names)
    classes = {path: name.split("/")[0] if "/" in name else None for path, name in inner.items()}
    drawn = _drawn((class_name, source_of(names[path])) for path, class_name in classes.items() if class_name)
    files = []
    for path, name in names.items():
        source, class_name = source_of(name), classes[path]
        split = splits.get(path) or (drawn[class_name, source] if class_name else "train")
        files.append(DatasetFile(path, name, class_name, source, (split,)))
    return files


def _remarks(folder: Path, files: Iterable[DatasetFile]) -> Iterator[str]:
    """Name the levels of folders that are not used."""
    deep = [f.name for f in files if f.class_name and "/" in f.name.partition(f"{f.class_name}/")[2]]
    yield from noted("videos lie in folders below that of their class, which are not used", deep)
    classes = {file.class_name for file in files} - {None}
    if deep and len(classes) == 1:
        (only,) = classes
        yield f"there is one class, {only}: if the folders in it are the classes, name {folder / str(only)} instead"


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
