"""A folder of videos, ``CLASS/clip.mp4``, as a list of what to pack."""

import csv
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError

VIDEO_ENDINGS = frozenset(
    f".{ending}" for ending in ("mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "flv", "ts", "3gp")
)
TEST_SHARE = 0.3
_UCF_CLIP = re.compile(r"(v_.+_g\d+)_c\d+$", re.IGNORECASE)


@frozen
class Listed:
    """A video file and what is known of it. ``name`` is its path inside the folder, with slashes."""

    path: Path
    name: str
    class_name: str
    source: str
    split: str


def list_folder(folder: Path, split: Path | None = None) -> list[Listed]:
    """All video files below ``folder``, sorted by name.

    The class is the first folder of the path. ``split`` is a CSV file with the header ``path,label,split[,source]`` and
    paths below ``folder``; files it does not list are left out. Without it, sources of each class go to ``train`` and
    ``test`` (30 %, at least one of each where a class has two), by a hash of their names: the same on every machine.
    Raises VimixError if the folder or the list is missing or has no video, or a line cannot be read.
    """
    if not folder.is_dir():
        raise VimixError(f"{folder}: there is no such folder; expected CLASS/clip.mp4 below it")
    listed = _from_list(folder, split) if split else _from_folders(folder)
    if not listed:
        endings = ", ".join(sorted(VIDEO_ENDINGS))
        raise VimixError(f"{folder}: expected videos as CLASS/clip.mp4 ({endings}), found none")
    return sorted(listed, key=lambda video: video.name)


def source_of(name: str) -> str:
    """The recording a clip was cut from: UCF's ``v_X_gNN``, else the clip itself."""
    stem = name.rsplit(".", 1)[0]
    match = _UCF_CLIP.search(stem.rsplit("/", 1)[-1])
    return match.group(1).lower() if match else stem


def _from_folders(folder: Path) -> list[Listed]:
    # Anything with a video's ending counts, a directory or a FIFO too: what cannot be read is to be reported.
    paths = [path for path in sorted(folder.glob("*/**/*")) if path.suffix.lower() in VIDEO_ENDINGS]
    names = [path.relative_to(folder).as_posix() for path in paths]
    splits = _drawn([(name.split("/")[0], source_of(name)) for name in names])
    return [
        Listed(path, name, name.split("/")[0], source_of(name), splits[name.split("/")[0], source_of(name)])
        for path, name in zip(paths, names, strict=True)
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


def _from_list(folder: Path, file: Path) -> list[Listed]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, restkey="", strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VimixError(f"{file}: expected a CSV file with the header path,label,split[,source] ({error})") from error
    listed = [_from_row(folder, file, number, row) for number, row in enumerate(rows, 2)]
    names = [video.name for video in listed]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise VimixError(f"{file}: {twice} is listed twice; each video belongs in one line")
    return listed


def _from_row(folder: Path, file: Path, number: int, row: dict[str, str]) -> Listed:
    missing = [key for key in ("path", "label", "split") if not row.get(key)]
    if missing or "" in row:
        raise VimixError(f"{file}, line {number}: expected path,label,split[,source]; {', '.join(missing)} missing")
    name = Path(row["path"]).as_posix()
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise VimixError(f"{file}, line {number}: {name} must be a path below {folder}")
    return Listed(folder / name, name, row["label"], row.get("source") or source_of(name), row["split"])
