"""The formats of skeleton files by ending, and the one function that reads them all.

A new format is an entry of ``FORMATS``.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import regular_file
from vimix_adapters.skeletons.array_files import open_array
from vimix_adapters.skeletons.json_files import parse_json, read_openpose
from vimix_adapters.skeletons.number_tables import parse_table
from vimix_adapters.skeletons.pickles import open_pickle
from vimix_adapters.skeletons.sequence import Container, Expected, RawSequence, SequenceEntry, frames_between
from vimix_adapters.skeletons.texts import parse_ntu

LARGEST = 2**28
"""Size limit of a file of one sequence, in bytes. The longest recordings of NTU RGB+D have about 10 MB."""


@frozen
class SkeletonFormat:
    """A kind of files. It has one of two functions."""

    about: str
    endings: tuple[str, ...]
    parse: Callable[[bytes, Expected], RawSequence] | None = None
    """Parse a file of one sequence."""
    open: Callable[[bytes, str], Container] | None = None
    """Open a file of several sequences, given the axes of arrays that do not name theirs."""


FORMATS = (
    SkeletonFormat("NTU RGB+D", (".skeleton",), parse_ntu),
    SkeletonFormat("lines of numbers", (".txt", ".csv"), parse_table),
    SkeletonFormat("JSON of pose estimators", (".json",), parse_json),
    SkeletonFormat("arrays of NumPy", (".npz", ".npy"), open=open_array),
    SkeletonFormat("pickles of pyskl and mmaction2", (".pkl", ".pickle"), open=lambda data, _: open_pickle(data)),
)
"""All formats. A folder of OpenPose's files, one a frame, is read as one recording."""
_BY_ENDING = {ending: kind for kind in FORMATS for ending in kind.endings}
ENDINGS = tuple(_BY_ENDING)
SEVERAL = tuple(ending for ending, kind in _BY_ENDING.items() if kind.open is not None)
"""Endings of files that may hold several sequences."""


def read_skeletons(path: Path, expected: Expected, part: str = "") -> RawSequence:
    """Read a recording, or a part of a file: the name of a sequence in it, or the frames ``START-END``.

    Raises VimixError with the reason and, if there is one, the line.
    """
    if path.is_dir():
        return read_openpose(path, part, expected)
    kind = _kind(path)
    if kind.parse is None:
        return _from_container(_opened(path, expected.axes), expected, part)
    raw = kind.parse(_content(path, LARGEST), expected)
    if not part:
        return raw
    if not (frames := re.fullmatch(r"(\d+)-(\d+)", part)):
        raise VimixError(f"part {part!r}: expected frames START-END")
    return frames_between(raw, int(frames[1]), int(frames[2]))


def samples_in(path: Path, axes: str = "") -> Sequence[SequenceEntry]:
    """List the sequences of a file. Raises VimixError if it cannot be read."""
    return _opened(path, axes).samples


def _from_container(container: Container, expected: Expected, part: str) -> RawSequence:
    names = {sample.name for sample in container.samples}
    if not part and len(names) > 1:
        raise VimixError(f"it has {len(names)} sequences: expected a file with one")
    if part and part not in names:
        raise VimixError(f"it has no sequence {part!r}")
    return container.read(part, expected)


def _kind(path: Path) -> SkeletonFormat:
    kind = _BY_ENDING.get(path.suffix.lower())
    if kind is None:
        raise VimixError(f"expected one of {', '.join(ENDINGS)}, found {path.suffix or 'no ending'}")
    return kind


def _opened(path: Path, axes: str) -> Container:
    state = regular_file(path)
    return _container(path, axes, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _container(path: Path, axes: str, *_: int) -> Container:
    """Open a file of sequences once for all that are read from it."""
    opening = _kind(path).open
    if opening is None:
        raise VimixError(f"{path.suffix} files have one sequence")
    return opening(_content(path), axes)


def _content(path: Path, largest: int | None = None) -> bytes:
    size = regular_file(path).st_size
    if largest is not None and size > largest:
        raise VimixError(f"{size} bytes: no skeleton file is larger than {largest}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise VimixError(f"cannot be opened: {error.strerror}") from error
