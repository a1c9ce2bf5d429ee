"""What a data set lists, what of it lies on disk, and how many that is by split."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import require_folder

VIDEO_ENDINGS = frozenset(
    f".{ending}" for ending in ("mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv", "ts", "3gp")
)
_UCF_CLIP = re.compile(r"(v_.+_g\d+)_c\d+$", re.IGNORECASE)


@frozen
class Listed:
    """A video file and what is known of it. ``name`` is unique in its data set: a path with slashes."""

    path: Path
    name: str
    class_name: str | None
    """None if it has no label."""
    source: str
    splits: tuple[str, ...]


@frozen
class Wanted:
    """A video that a data set's lists name, wherever it may lie."""

    name: str
    class_name: str | None
    source: str
    splits: tuple[str, ...]
    stems: tuple[str, ...]
    """File names without ending under which it may be found, the most telling first."""


@frozen
class Listing:
    """A data set as its lists say, and what of it was found."""

    dataset: str
    videos: tuple[Listed, ...]
    """Found, sorted by name."""
    classes: tuple[str, ...]
    """In the order of their labels."""
    splits: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Splits by name of the listed videos of which there is no file."""
    totals: Mapping[str, int] = field(factory=dict)
    """Official sizes by split; empty for own data."""
    official: bool = False
    """Whether it is a published data set, complete or not; else own data."""
    notes: tuple[str, ...] = ()


@frozen
class SplitCount:
    """A split in numbers."""

    split: str
    official: int | None
    """What the split should have; None for own data."""
    listed: int
    found: int
    missing: int
    """Of the official number, or of the listed one where that is larger."""
    unreadable: int | None
    """Of those found; None if they were not decoded."""


def split_counts(listing: Listing, unreadable: Collection[str] | None) -> list[SplitCount]:
    """All splits in their order; ``unreadable`` are names of found videos that cannot be read."""
    bad = None if unreadable is None else set(unreadable)
    counts = []
    for split in listing.splits:
        names = [video.name for video in listing.videos if split in video.splits]
        listed = len(names) + sum(split in splits for splits in listing.missing.values())
        official = listing.totals.get(split)
        missing = max(official or 0, listed) - len(names)
        broken = None if bad is None else sum(name in bad for name in names)
        counts.append(SplitCount(split, official, listed, len(names), missing, broken))
    return counts


def source_of(name: str) -> str:
    """The recording a clip was cut from: UCF's ``v_X_gNN``, else the clip itself."""
    stem = name.rsplit(".", 1)[0]
    match = _UCF_CLIP.search(stem.rsplit("/", 1)[-1])
    return match.group(1).lower() if match else stem


def video_files(folder: Path) -> list[Path]:
    """Everything with a video's ending below ``folder``, sorted; a directory or a FIFO too: it is to be reported.

    Linked folders are entered, each once. Raises VimixError if a folder cannot be read.
    """
    require_folder(folder, "videos below it")
    found: list[Path] = []
    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        state = Path(root).stat()
        if (state.st_dev, state.st_ino) in entered:
            folders.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        folders.sort()
        found += [Path(root, name) for name in [*folders, *files] if Path(name).suffix.lower() in VIDEO_ENDINGS]
    return sorted(found)


def text_name(path: Path, folder: Path) -> str:
    """The path below ``folder`` with slashes; bytes that are no UTF-8 are written as ``\\xNN``."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")


def found_on_disk(
    dataset: str,
    wanted: Iterable[Wanted],
    folder: Path,
    classes: Sequence[str],
    splits: Sequence[str],
    totals: Mapping[str, int],
    *,
    fold: bool,
) -> Listing:
    """Look for all wanted videos below ``folder`` by file name, whatever their ending; ``fold``: upper case is lower.

    Of several files the one in a folder named like the class is taken, then one below a folder ``replacement...``
    (Kinetics), then the first. No file is taken twice.
    """
    index = _by_stem(video_files(folder), fold)
    taken: dict[Path, str] = {}
    found: dict[str, Path] = {}
    everything, doubles = list(wanted), 0
    for strict in (True, False):
        for video in everything:
            if video.name in found:
                continue
            files = [path for stem in video.stems for path in index.get(_key(stem, fold), ()) if path not in taken]
            files = [path for path in files if not strict or _in_class_folder(path, video.class_name)]
            if files:
                doubles += len(files) > 1
                found[video.name] = max(files, key=_is_replacement)
                taken[found[video.name]] = video.name
    kept = [Listed(found[v.name], v.name, v.class_name, v.source, v.splits) for v in everything if v.name in found]
    missing = {v.name: v.splits for v in everything if v.name not in found}
    spare = sum(len(paths) for paths in index.values()) - len(found)
    notes = [f"{spare} video files below {folder} are in none of the lists"] if spare else []
    notes += [f"{doubles} videos lie there more than once"] if doubles else []
    videos = tuple(sorted(kept, key=lambda video: video.name))
    return Listing(dataset, videos, tuple(classes), tuple(splits), missing, dict(totals), True, tuple(notes))


def _refuse(error: OSError) -> None:
    raise VimixError(f"{error.filename}: the folder cannot be read ({error.strerror})")


def _by_stem(paths: Iterable[Path], fold: bool) -> dict[str, list[Path]]:
    index: dict[str, list[Path]] = {}
    for path in paths:
        index.setdefault(_key(path.stem, fold), []).append(path)
    return index


def _key(stem: str, fold: bool) -> str:
    # File systems of some machines take é apart into e and an accent.
    normal = unicodedata.normalize("NFC", stem)
    return normal.casefold() if fold else normal


def _in_class_folder(path: Path, class_name: str | None) -> bool:
    return class_name is not None and _plain(path.parent.name) == _plain(class_name)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().replace("_", " ").strip()


def _is_replacement(path: Path) -> bool:
    return any(part.lower().startswith("replacement") for part in path.parts[:-1])
