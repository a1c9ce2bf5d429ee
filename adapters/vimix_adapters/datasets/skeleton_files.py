"""Folders of skeleton files as lists of what to store: by the names of NTU RGB+D and MSRAction3D, or by a list."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.datasets.folder import list_folder
from vimix_adapters.datasets.ntu import EDITIONS, NtuName, class_names, missing_skeletons, parse_name, splits_of
from vimix_adapters.files import require_folder

ENDINGS = (".skeleton", ".txt")
_MSR_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_")
# fmt: off
_MSR_ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)
# fmt: on
MSR_CLASSES = tuple(f"a{number:02d} {action}" for number, action in enumerate(_MSR_ACTIONS, 1))
"""MSRAction3D's (Li et al. 2010)."""


@frozen
class SkeletonFile:
    """A file and what is known of it. ``name`` is its path inside the folder, with slashes."""

    path: Path
    name: str
    class_name: str
    source: str
    splits: tuple[str, ...]


@frozen
class SkeletonListing:
    """What to store, and what not."""

    files: tuple[SkeletonFile, ...]
    classes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    """(name, reason) of files that should be there but are not fit."""
    excluded: tuple[tuple[str, str], ...] = ()
    """(name, reason) of files that the data set's authors exclude."""


def list_ntu(folder: Path, edition: int, missing: Path | None = None) -> SkeletonListing:
    """The samples of NTU RGB+D 60 or 120 below ``folder``, sorted by name; 60 leaves those of the extension aside.

    Raises VimixError if the folder is missing or has none, or two files have one name.
    """
    found = list(_below(folder, (".skeleton",)))
    names = {path: parse_name(path.name) for path in found}
    named = {path: name for path, name in names.items() if name is not None and (edition == 120 or name.edition == 60)}
    if not named:
        raise VimixError(f"{folder}: expected files such as S001C001P001R001A001.skeleton below it, found none")
    _require_unique(path.stem for path in named)
    listing = _ntu_files(folder, named, edition, missing_skeletons(missing))
    wrong = "its name is not SsssCcccPpppRrrrAaaa.skeleton"
    strangers = tuple((_inside(folder, path), wrong) for path, name in names.items() if name is None)
    return SkeletonListing(listing.files, listing.classes, strangers, listing.excluded)


def list_skeletons(folder: Path, split: Path | None = None) -> SkeletonListing:
    """The skeleton files below ``folder``, sorted by name.

    ``split`` is a list as ``list_folder`` reads it; its paths may be those of the videos: files are found by their
    names without folder and ending. Without it names tell the class: NTU RGB+D's (all its protocols are splits) or
    MSRAction3D's ``aAA_sSS_eEE_*.txt`` (odd subjects train, even ones test).
    Raises VimixError if there is none, or two files have one name.
    """
    found = list(_below(folder, ENDINGS))
    if split is not None:
        return _listed(folder, found, split)
    msr = {path: match for path in found if (match := _MSR_NAME.match(path.name))}
    if msr:
        return _msr_files(folder, found, msr)
    samples = [name for path in found if (name := parse_name(path.name))]
    if not samples:
        expected = "SsssCcccPpppRrrrAaaa.skeleton or aAA_sSS_eEE_*.txt"
        raise VimixError(f"{folder}: found no file named {expected}; with other names give --split FILE")
    return list_ntu(folder, max(name.edition for name in samples))


def _below(folder: Path, endings: Sequence[str]) -> Iterator[Path]:
    require_folder(folder, "skeleton files below it")
    return (path for path in sorted(folder.rglob("*")) if path.suffix in endings)


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _require_unique(stems: Iterable[str]) -> None:
    stem, times = Counter(stems).most_common(1)[0]
    if times > 1:
        raise VimixError(f"{times} files are named {stem}: each sample belongs there once")


def _ntu_files(folder: Path, named: dict[Path, NtuName], edition: int, missing: frozenset[str]) -> SkeletonListing:
    assert edition in EDITIONS
    classes = class_names(edition)
    files, excluded = [], []
    for path, name in named.items():
        inside = _inside(folder, path)
        if path.name[:20] in missing:
            excluded.append((inside, "listed by the authors as a sample with a missing or incomplete skeleton"))
        else:
            label = classes[name.action - 1]
            files.append(SkeletonFile(path, inside, label, name.source, splits_of(name, edition)))
    return SkeletonListing(tuple(files), classes, excluded=tuple(excluded))


def _msr_files(folder: Path, found: Sequence[Path], msr: "dict[Path, re.Match[str]]") -> SkeletonListing:
    files, strangers = [], []
    for path in found:
        action, subject = (int(msr[path][group]) for group in (1, 2)) if path in msr else (0, 0)
        if 1 <= action <= len(MSR_CLASSES):
            split = "train" if subject % 2 else "test"
            name = _inside(folder, path)
            files.append(SkeletonFile(path, name, MSR_CLASSES[action - 1], path.stem, (split,)))
        elif path.suffix == ".skeleton" or path in msr:
            strangers.append((_inside(folder, path), "its name is not aAA_sSS_eEE_*.txt with an action of 1 to 20"))
    _require_unique(file.path.stem for file in files)
    return SkeletonListing(tuple(files), MSR_CLASSES, tuple(strangers))


def _listed(folder: Path, found: Sequence[Path], split: Path) -> SkeletonListing:
    rows = list_folder(folder, split)
    wanted = {Path(row.name).stem for row in rows}
    by_stem = {path.stem: path for path in found if path.stem in wanted}
    _require_unique(path.stem for path in found if path.stem in wanted)
    _require_unique(Path(row.name).stem for row in rows)
    files, absent = [], []
    for row in rows:
        path = by_stem.get(Path(row.name).stem)
        if path is None:
            absent.append((row.name, f"no skeleton file of that name below {folder}"))
        else:
            files.append(SkeletonFile(path, _inside(folder, path), row.class_name or "?", row.source, row.splits))
    return SkeletonListing(tuple(files), tuple(sorted({row.class_name or "?" for row in rows})), tuple(absent))
