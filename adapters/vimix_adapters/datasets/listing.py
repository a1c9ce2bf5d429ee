"""A data set as a list of files: what its lists name, what of it is on the disk, and the numbers of each split."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve, field, frozen

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.files import require_folder
from vimix_adapters.image_names import image_sequences

VIDEO_ENDINGS = frozenset(
    f".{ending}"
    for ending in ("mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv", "ts", "3gp", "gif")
)
SYSTEM_NAMES = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "thumbs.db", "desktop.ini"})
"""Files and folders of other programs, in lower case; names that begin with a dot are passed over too."""
_UCF_CLIP = re.compile(r"(v_.+_g\d+)_c\d+$", re.IGNORECASE)


@frozen
class DatasetFile:
    """A video or skeleton file, and what its data set says of it."""

    path: Path
    name: str
    """Name that is unique in the data set: a path with slashes."""
    class_name: str | None
    """Name of the class; None for a file without label."""
    source: str
    """Recording from which the file was cut."""
    splits: tuple[str, ...]
    """Splits that contain the file."""
    segment: Segment | None = None
    """The part of the video that is the clip; None: all of it."""
    pattern: str = ""
    """Pattern of the images if ``path`` is a folder of frames, such as ``img_%05d.jpg``; empty: all numbered ones."""
    rate: float = 0.0
    """Frames a second of a folder of frames; 0: not known."""
    part: str = ""
    """Part of a skeleton file: the name of a sequence in it, or its frames ``START-END``; empty for all of it."""


@frozen
class ListedClip:
    """A clip that the lists of a published data set name, wherever its file may be."""

    name: str
    class_name: str | None
    source: str
    stems: tuple[str, ...]
    """File names without ending under which the clip may be found, in order of preference."""
    splits: tuple[str, ...] = ()


@frozen
class Listing:
    """A data set: the files that were found, those that were not, and those that are not to be used."""

    dataset: str
    """Name of the data set, for messages."""
    files: tuple[DatasetFile, ...]
    """Files to store, sorted by name."""
    classes: tuple[str, ...]
    """Class names in the order of their labels."""
    splits: tuple[str, ...]
    """Names of the splits in the order in which they are shown."""
    missing: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Splits of each listed file that does not exist, by its name."""
    left_out: tuple[tuple[str, str], ...] = ()
    """(name, reason) of each file that was found but cannot be used; it counts as a failure."""
    excluded: tuple[tuple[str, str], ...] = ()
    """(name, reason) of each file that the authors of the data set exclude; it counts as no failure."""
    totals: Mapping[str, int] = field(factory=dict)
    """Official number of files in each split; empty for own data."""
    official: bool = False
    """Whether it is a published data set, complete or not."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about files that are not used."""

    @property
    def count(self) -> int:
        """Number of files that the data set should have, as far as is known without its totals."""
        return len(self.files) + len(self.missing) + len(self.left_out)


@frozen
class SplitCount:
    """Numbers of the files of a split."""

    split: str
    official: int | None
    """Number that the authors publish; None for own data."""
    listed: int
    found: int
    missing: int
    """Official number, or the listed one if that is larger, less the files found."""
    unreadable: int | None
    """Files that were found and cannot be read; None if none was read yet."""


def split_counts(listing: Listing, unreadable: Collection[str] | None) -> list[SplitCount]:
    """Count the files of each split; ``unreadable`` are names of files that cannot be read, None if unknown."""
    counts = []
    for split in listing.splits:
        names = [file.name for file in listing.files if split in file.splits]
        listed = len(names) + sum(split in splits for splits in listing.missing.values())
        official = listing.totals.get(split)
        missing = max(official or 0, listed) - len(names)
        broken = None if unreadable is None else len(set(names).intersection(unreadable))
        counts.append(SplitCount(split, official, listed, len(names), missing, broken))
    return counts


def own_listing(dataset: str, listed: Sequence[DatasetFile], missing: Collection[str] | None = None) -> Listing:
    """List own data in the given order: classes sorted by name, ``train`` before ``val`` and ``test``.

    ``missing`` are the names of listed files that do not exist; by default each path is looked up.
    """
    if missing is None:  # a link to nowhere exists, and cannot be read
        missing = [file.name for file in listed if not os.path.lexists(file.path)]
    missing = set(missing)
    classes = sorted({file.class_name for file in listed if file.class_name is not None})
    splits = sorted({split for file in listed for split in file.splits}, key=_split_order)
    files = tuple(file for file in listed if file.name not in missing)
    absent = {file.name: file.splits for file in listed if file.name in missing}
    return Listing(dataset, files, tuple(classes), tuple(splits), absent)


def _split_order(split: str) -> tuple[int, str]:
    first = next((number for number, kind in enumerate(("train", "val", "test")) if split.startswith(kind)), 3)
    return first, split


def is_folder(path: Path) -> bool:
    """Return whether the path is a folder; it may be any text of a list."""
    return os.path.lexists(path) and path.is_dir()


def at_frame_rate(listing: Listing, rate: float) -> Listing:
    """Give the folders of frames ``rate`` frames a second, unless their list names another."""
    bare = [file.name for file in listing.files if not file.rate and is_folder(file.path)]
    wanted = set(bare)
    files = tuple(evolve(file, rate=rate) if file.name in wanted else file for file in listing.files)
    note = noted(f"folders of images taken as {rate:g} frames a second (--frame-rate)", bare)
    return evolve(listing, files=files, notes=(*listing.notes, *note))


def source_of(name: str) -> str:
    """Return the recording of a clip: ``v_X_gNN`` for a name of UCF101, else the name without ending."""
    stem = name.rsplit(".", 1)[0]
    match = _UCF_CLIP.search(stem.rsplit("/", 1)[-1])
    return match.group(1).lower() if match else stem


@frozen
class FoundClips:
    """The clips below a folder, and sentences about what else is there."""

    paths: tuple[Path, ...]
    """Files with the ending of a video, and folders of numbered images, sorted."""
    notes: tuple[str, ...]


def video_files(folder: Path) -> FoundClips:
    """Find all clips below ``folder``, and count what is skipped: hidden files and folders, and other files.

    Directories and FIFOs with the name of a video are included, so that they are reported. Linked folders are entered,
    each once. Raises VimixError if a folder cannot be read.
    """
    require_folder(folder, "videos below it")
    found: set[Path] = set()
    hidden: list[str] = []
    others: Counter[str] = Counter()
    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        state = Path(root).stat()
        if (state.st_dev, state.st_ino) in entered:
            folders.clear()
            continue
        entered.add((state.st_dev, state.st_ino))
        hidden += [name for name in (*folders, *files) if _is_hidden(name)]
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        shown = [name for name in files if not _is_hidden(name)]
        videos = [name for name in (*folders, *shown) if Path(name).suffix.lower() in VIDEO_ENDINGS]
        found.update(Path(root, name) for name in videos)
        if not videos and Path(root) != folder and _are_frames(shown):
            found.add(Path(root))
        else:
            kinds = (Path(name).suffix.lower() for name in shown)
            others.update(kind or "none" for kind in kinds if kind not in VIDEO_ENDINGS)
    return FoundClips(tuple(sorted(found)), tuple(_passed_over(hidden, others)))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_NAMES


def _are_frames(names: Sequence[str]) -> bool:
    return any(len(numbered) > 1 for numbered in image_sequences(names).values())


def _passed_over(hidden: Sequence[str], others: Mapping[str, int]) -> Iterator[str]:
    if hidden:
        yield f"{len(hidden)} hidden files and folders of other programs skipped: {shortened(sorted(set(hidden)))}"
    if others:
        kinds = [f"{count} {ending}" for ending, count in sorted(others.items(), key=lambda item: -item[1])]
        yield f"{sum(others.values())} files that are no videos, by ending: {shortened(kinds, 6)}"


def shortened(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, separated by commas, with dots if there are more."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def noted(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence that counts and names ``what``; none without names."""
    return (f"{len(names)} {what}: {shortened(names)}",) if names else ()


def name_below(path: Path, folder: Path) -> str:
    """Return the path below ``folder`` with slashes; bytes that are not UTF-8 are written as ``\\xNN``.

    A backslash is written as two, so that no two files have one name.
    """
    name = os.fsencode(path.relative_to(folder).as_posix())
    return name.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")


def with_splits(lists: Mapping[str, Mapping[str, ListedClip]]) -> list[ListedClip]:
    """Join lists of clips, one list a split: each clip once, with the names of all lists that contain it."""
    clips = {key: clip for clips in lists.values() for key, clip in clips.items()}
    return [evolve(clip, splits=tuple(split for split in lists if key in lists[split])) for key, clip in clips.items()]


def find_clips(
    dataset: str,
    clips: Sequence[ListedClip],
    folder: Path,
    classes: Sequence[str],
    totals: Mapping[str, int],
    *,
    ignore_case: bool,
) -> Listing:
    """Find the files of all clips below ``folder`` by their names without ending; ``totals`` are the official ones.

    Among several files a clip takes the one in a folder named like its class, then one below a folder
    ``replacement...`` (Kinetics), then the first. No file is taken twice.
    """
    below = video_files(folder)
    by_stem: dict[str, list[Path]] = {}
    for path in below.paths:
        by_stem.setdefault(_key(path.stem, ignore_case), []).append(path)
    taken: set[Path] = set()
    found: dict[str, Path] = {}
    doubles = 0
    for in_class_folder in (True, False):
        for clip in clips:
            if clip.name in found:
                continue
            keys = (_key(stem, ignore_case) for stem in clip.stems)
            paths = [path for key in keys for path in by_stem.get(key, ()) if path not in taken]
            paths = [path for path in paths if not in_class_folder or _in_class_folder(path, clip.class_name)]
            if paths:
                doubles += len(paths) > 1
                found[clip.name] = max(paths, key=_is_replacement)
                taken.add(found[clip.name])
    files = [DatasetFile(found[c.name], c.name, c.class_name, c.source, c.splits) for c in clips if c.name in found]
    missing = {clip.name: clip.splits for clip in clips if clip.name not in found}
    unused = sum(len(paths) for paths in by_stem.values()) - len(found)
    notes = list(below.notes)
    notes += [f"{unused} video files below {folder} are in none of the lists"] if unused else []
    notes += [f"{doubles} videos have more than one file"] if doubles else []
    return Listing(
        dataset,
        tuple(sorted(files, key=lambda file: file.name)),
        tuple(classes),
        tuple(totals),
        missing,
        totals=dict(totals),
        official=True,
        notes=tuple(notes),
    )


def _refuse(error: OSError) -> None:
    raise VimixError(f"{error.filename}: the folder cannot be read ({error.strerror})")


def _key(stem: str, ignore_case: bool) -> str:
    # macOS stores é as e and a combining accent.
    normal = unicodedata.normalize("NFC", stem)
    return normal.casefold() if ignore_case else normal


def _in_class_folder(path: Path, class_name: str | None) -> bool:
    return class_name is not None and _plain(path.parent.name) == _plain(class_name)


def _plain(name: str) -> str:
    return _key(name, ignore_case=True).replace("_", " ").strip()


def _is_replacement(path: Path) -> bool:
    return any(part.lower().startswith("replacement") for part in path.parts[:-1])
