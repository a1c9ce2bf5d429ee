"""The formats of skeleton files by ending, and the one function that reads them all.

A new format is an entry of ``FORMATS``, or of ``SEVERAL`` if its files hold several sequences.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.files import regular_file
from vimix_adapters.skeletons.array_files import ArrayFile, open_array
from vimix_adapters.skeletons.json_files import parse_json, read_openpose
from vimix_adapters.skeletons.number_tables import parse_table
from vimix_adapters.skeletons.pickles import PickleFile, open_pickle
from vimix_adapters.skeletons.sequence import Expected, RawSequence, SequenceEntry, frames_between
from vimix_adapters.skeletons.texts import parse_ntu

LARGEST = 2**28
"""Size limit of a file of one sequence, in bytes. The longest recordings of NTU RGB+D have about 10 MB."""
FORMATS: Mapping[str, Callable[[bytes, Expected], RawSequence]] = {
    ".skeleton": parse_ntu,
    ".txt": parse_table,
    ".csv": parse_table,
    ".json": parse_json,
}
"""Parsers of files of one sequence, by ending. A folder of OpenPose's files, one a frame, is read as one recording."""
SEVERAL: Mapping[str, Callable[[bytes, str], ArrayFile | PickleFile]] = {
    ".npz": open_array,
    ".npy": open_array,
    ".pkl": lambda data, _: open_pickle(data),
    ".pickle": lambda data, _: open_pickle(data),
}
"""Functions that open files of several sequences, by ending, given the axes of arrays that do not name theirs."""
ENDINGS = (*FORMATS, *SEVERAL)


def read_skeletons(path: Path, expected: Expected, part: str = "") -> RawSequence:
    """Read a recording, or a part of a file: the name of a sequence in it, or the frames ``START-END``.

    Raises VimixError with the reason and, if there is one, the line.
    """
    if path.is_dir():
        return read_openpose(path, part, expected)
    ending = path.suffix.lower()
    if ending in SEVERAL:
        return _from_container(_opened(path, expected.axes), expected, part)
    if ending not in FORMATS:
        raise VimixError(f"expected one of {', '.join(ENDINGS)}, found {path.suffix or 'no ending'}")
    raw = FORMATS[ending](_content(path, LARGEST), expected)
    if not part:
        return raw
    start, end = part.split("-")
    return frames_between(raw, int(start), int(end))


def samples_in(path: Path, axes: str = "") -> Sequence[SequenceEntry]:
    """List the sequences of a file. Raises VimixError if it cannot be read."""
    return _opened(path, axes).samples


def _from_container(container: ArrayFile | PickleFile, expected: Expected, part: str) -> RawSequence:
    names = {sample.name for sample in container.samples}
    if not part and len(names) > 1:
        raise VimixError(f"it has {len(names)} sequences: expected a file with one")
    if part and part not in names:
        raise VimixError(f"it has no sequence {part!r}")
    return container.read(part, expected)


def _opened(path: Path, axes: str) -> ArrayFile | PickleFile:
    state = regular_file(path)
    return _container(path, axes, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1)
def _container(path: Path, axes: str, *_: int) -> ArrayFile | PickleFile:
    """Open a file of sequences once for all that are read from it."""
    return SEVERAL[path.suffix.lower()](_content(path), axes)


def _content(path: Path, largest: int | None = None) -> bytes:
    size = regular_file(path).st_size
    if largest is not None and size > largest:
        raise VimixError(f"{size} bytes: no skeleton file is larger than {largest}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise VimixError(f"cannot be opened: {error.strerror}") from error
