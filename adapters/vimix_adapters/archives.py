"""Zip archives with a digest: checkpoints of torch, and arrays as ``np.savez`` writes them.

The digest is the archive's comment: ``vimix-sha256:`` and 64 hexadecimal digits. It covers every other byte of the
file. torch, NumPy and zip programs ignore it.
"""

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.files import replacing
from vimix_adapters.reading import reason_of

MARK = b"vimix-sha256:"
COMMENT = len(MARK) + 64
"""Length of the comment in bytes."""
END = b"PK\x05\x06"
"""Signature of the record that ends an archive: 22 bytes, the last two of which are the length of the comment."""
END_SIZE = 22

log = logging.getLogger(__name__)  # the standard library's: it is heard without a configuration, as in ``load_encoder``


class DamagedError(ValueError):
    """The content of an archive is not what was written."""


def seal(file: IO[bytes]) -> None:
    """Write the digest at the end of an archive that is open for reading and writing. Raises ValueError if it has one.

    Equal archives stay equal.
    """
    file.seek(-END_SIZE, os.SEEK_END)
    end = file.read()
    if end[:4] != END or end[-2:] != b"\0\0":
        raise ValueError("expected a zip archive without comment")
    file.seek(-2, os.SEEK_END)
    file.write(COMMENT.to_bytes(2, "little"))
    size = file.tell()
    file.seek(0)
    digest = _digest(file, size)
    file.write(MARK + digest)


def require_whole(path: Path, content: bool = True) -> None:
    """Read an archive in full. Raises DamagedError unless it is what was written, OSError if it cannot be read.

    Without ``content`` only its list of members and its end are read. Members that are compressed, or declare more
    bytes than the file has, are refused unread. An archive of an earlier version has no digest: the checksums of its
    members are compared, and a note says so.
    """
    with path.open("rb") as file, _archive(file) as archive:
        size = file.seek(0, os.SEEK_END)
        _require_plain(archive.infolist(), size)
        file.seek(max(0, size - END_SIZE - COMMENT))
        record, comment = file.read(END_SIZE), archive.comment
        sealed = record[:4] == END and comment.startswith(MARK) and len(comment) == COMMENT
        if comment and not sealed:
            raise DamagedError("it is cut short or damaged")
        if not content:
            return
        if sealed:
            file.seek(0)
            if _digest(file, size - COMMENT) != comment[len(MARK) :]:
                raise DamagedError("it is damaged: its bytes are not those that were written (SHA-256)")
        elif (damaged := _first_damaged(archive)) is not None:
            raise DamagedError(f"it is damaged: {damaged} is not what was written (CRC-32)")
        else:
            log.warning("%s was written before files had digests: only the checksums of its parts were compared", path)


def is_sealed(path: Path) -> bool:
    """Whether the file ends in the comment of ``seal``. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - COMMENT))
        return file.read(len(MARK)) == MARK


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to one ``.npz`` file with a digest, atomically. Raises WriteError if that fails."""
    with replacing(path) as temporary, temporary.open("w+b") as file:
        np.savez(file, allow_pickle=False, **arrays)
        seal(file)


def read_arrays(path: Path, names: Sequence[str], expected: str) -> dict[str, NDArray[Any]]:
    """Read the arrays ``names`` that ``write_arrays`` wrote.

    An array takes no more memory than its bytes in the file: compressed members, and arrays whose shape declares more
    than the member holds, are refused unread. Raises VimixError naming the file and what was ``expected``.
    """
    try:
        require_whole(path)
        with zipfile.ZipFile(path) as archive:
            return {name: _array(archive, f"{name}.npy") for name in names}
    except DAMAGED as error:
        raise VimixError(f"{path}: expected {expected}, but it cannot be read ({reason_of(error)})") from error


MALFORMED = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RuntimeError,
    zipfile.BadZipFile,
)
"""Errors that zipfile, NumPy and ``torch.load`` raise, depending on where a file is damaged."""
DAMAGED = (*MALFORMED, SyntaxError, MemoryError, OverflowError)
"""``MALFORMED``, and the errors that only NumPy raises."""


def _digest(file: IO[bytes], left: int) -> bytes:
    """SHA-256 of the next ``left`` bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    while block := file.read(min(2**20, left)):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


def _archive(file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except DAMAGED as error:
        raise DamagedError("it is cut short, damaged or another kind of file") from error


def _first_damaged(archive: zipfile.ZipFile) -> str | None:
    """The first member whose bytes do not have the checksum (CRC-32) that was written with them."""
    try:
        return archive.testzip()
    except DAMAGED:
        return "a part"


def _require_plain(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    promised = sum(member.file_size for member in members)
    if promised > size or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise DamagedError(
            f"it is damaged, or made to fill memory: compressed, or promising {promised:,} bytes in {size:,}"
        )


def _array(archive: zipfile.ZipFile, member: str) -> NDArray[Any]:
    file = io.BytesIO(archive.read(member))
    version = np.lib.format.read_magic(file)
    read_head = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_head(file)
    promised, held = int(np.prod(shape, dtype=object)) * dtype.itemsize, len(file.getbuffer()) - file.tell()
    if dtype.hasobject or promised != held:
        raise DamagedError(f"{member} promises {promised:,} bytes and holds {held:,}")
    values: NDArray[Any] = np.frombuffer(file.getbuffer(), dtype, offset=file.tell())
    return values.reshape(shape, order="F" if fortran else "C")
