"""What a command is about to write: refused, before any work, where it would take the place of something else."""

import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import require_writable, writing


@frozen
class Kind:
    """A kind of file that a command writes, and by what an earlier one of it is told from other files."""

    name: str
    """As in "expected to find ..."."""
    is_one: Callable[[Path], bool]
    endings: tuple[str, ...] = ()
    """That its name may have; none: any."""


def require_output(path: Path, kind: Kind, inputs: Iterable[Path] = ()) -> None:
    """Refuse a place that does not take a file of ``kind``, or holds something that is not to be lost.

    Raises VimixError if the name has another ending, ``path`` is one of the ``inputs``, or there is something else
    there than a ``kind`` of an earlier call (or an empty file); WriteError if it cannot be written.
    """
    if kind.endings and path.suffix not in kind.endings:
        raise VimixError(f"{path}: expected a name that ends in {', '.join(kind.endings)} for {kind.name}")
    with writing(path):  # to look is refused too where the name is too long, or the folder not ours
        if any(_same(path, given) for given in inputs):
            raise VimixError(f"{path} is read by this command and would be lost: choose another --out")
        if path.exists() and not (path.is_file() and (path.stat().st_size == 0 or _is_one(path, kind))):
            raise VimixError(f"{path} exists and is not {kind.name}: choose another --out, or move it away first")
    require_writable(path)


def _same(path: Path, other: Path) -> bool:
    """Whether both are one file, whatever its names."""
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))


def _is_one(path: Path, kind: Kind) -> bool:
    try:
        return kind.is_one(path)
    except (OSError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile):
        return False  # what the readers below say of other files


def json_with(name: str, key: str = "format", value: str = "", endings: tuple[str, ...] = (".json",)) -> Kind:
    """An object in JSON that has ``key``, with this ``value`` if one is given."""

    def is_one(path: Path) -> bool:
        content = json.loads(path.read_text(encoding="utf-8"))
        return isinstance(content, dict) and key in content and value in ("", content[key])

    return Kind(name, is_one, endings)


def text_with(name: str, *words: str) -> Kind:
    """A text that begins with the first of the words, and has the others."""

    def is_one(path: Path) -> bool:
        text = path.read_text(encoding="utf-8")
        return text.startswith(words[0]) and all(word in text for word in words)

    return Kind(name, is_one)


def bytes_with(name: str, mark: bytes, at: int = 0) -> Kind:
    """A file with these bytes at this place."""

    def is_one(path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(at + len(mark))[at:] == mark

    return Kind(name, is_one)


def zip_with(name: str, *members: str, without: bytes = b"") -> Kind:
    """An archive (npz, torch.save) with members whose names end so; none of them has the bytes ``without`` in it."""

    def is_one(path: Path) -> bool:
        with zipfile.ZipFile(path) as file:
            found = [next((known for known in file.namelist() if known.endswith(end)), "") for end in members]
            return all(found) and not (without and any(without in file.read(known) for known in found))

    return Kind(name, is_one)


def hdf5_with(name: str, dataset: str, attribute: str) -> Kind:
    """An HDF5 file that has the data set, and itself the attribute."""

    def is_one(path: Path) -> bool:
        with h5py.File(path, "r") as file:
            return dataset in file and attribute in file.attrs

    return Kind(name, is_one)
