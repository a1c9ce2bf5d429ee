"""Writing files that are complete or absent, and checks of paths."""

import errno
import os
import platform
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vimix.values.errors import VimixError

_NODE = re.sub(r"[^A-Za-z0-9]", "_", platform.node())
"""Name of the machine in the names of temporary files: process numbers are unique on one machine only."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors of a full disk, a quota, or a limit on the size of files."""
NO_ROOM = FULL | {errno.EROFS}
"""Errors that writing raises and reading does not."""
OWN_FAULTS = frozenset({errno.ELOOP, errno.ENAMETOOLONG})
"""Errors of reading that another try meets again: a link that leads to itself, a name that no file can have."""


class Outage(VimixError, OSError):
    """A file could not be read for a reason outside the file (disk, folder, permissions, memory): try again later."""


class WriteError(VimixError, OSError):
    """The disk is full, or the output cannot be written: the data being processed are not to blame."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is synced and renamed to ``path``, else removed.

    After a crash or a full disk, ``path`` is the old file or absent, never half a file. Raises WriteError if the disk
    is full, ``path`` is a folder, or its folder cannot be written.
    """
    temporary = _begun(path)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        with writing(path):
            temporary.replace(path)
    except WriteError:
        raise
    except (OSError, RuntimeError) as error:
        if (reason := no_room(error)) is None:
            raise
        raise WriteError(_refusal(path, reason, full=True)) from error
    finally:
        with suppress(OSError):  # an error here would hide the first one
            temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def require_writable(path: Path) -> None:
    """Check, before hours of work, that ``path`` can be written; makes the folders above it.

    Removes what killed processes left of earlier files of that name.

    Raises WriteError if it cannot.
    """
    temporary = _begun(path)
    with writing(path):
        temporary.unlink()
        sweep(path)


def require_new(path: Path, force: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Check, before any work, that ``path`` can be written and that no file is lost by it.

    Makes the folders above ``path``. ``inputs`` are the files that the command reads. Raises VimixError if ``path`` is
    one of them, under any name, or exists and ``force`` is false; WriteError if it is a folder or a device or cannot be
    written.
    """
    with writing(path):
        if path.exists():
            if any(given.exists() and path.samefile(given) for given in inputs):
                raise VimixError(f"{path} is read by this command and would be lost: choose another name")
            if path.is_file() and not force:
                raise VimixError(f"{path} exists: choose another name, or replace it with --force")
            if not path.is_file() and not path.is_dir():
                raise WriteError(_refusal(path, "it is not a regular file", full=False))
    require_writable(path)


def make_folder(path: Path) -> None:
    """Make the folder, and those above it, unless they exist. Raises WriteError if that fails."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any error of the system while ``path`` is written into a WriteError that names ``path``."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        reason = f"{error.filename} is not a folder" if error.errno == errno.EEXIST else error.strerror or str(error)
        raise WriteError(_refusal(path, reason, full=error.errno in FULL)) from error


def _begun(path: Path) -> Path:
    """Create the temporary file first, so that an unwritable folder fails before any work. Raises WriteError."""
    temporary = path.with_name(f".{path.name}.{_NODE}-{os.getpid()}.tmp")
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    return temporary


def _refusal(path: Path, reason: str, full: bool) -> str:
    advice = "free some space, or choose another folder" if full else "choose another name or folder"
    return f"{path} cannot be written: {reason}; {advice}"


def no_room(error: BaseException) -> str | None:
    """Return the message of the system if the error comes from a full or read-only disk, else None.

    HDF5 sometimes reports a failed write as a RuntimeError with the error number in its text.
    """
    for cause in _causes(error):
        match = re.search(r"errno = (\d+)", str(cause))
        number = cause.errno if isinstance(cause, OSError) else int(match[1]) if match else None
        if number in NO_ROOM:
            return os.strerror(number)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those during whose handling it was raised."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__context__


@contextmanager
def telling_outages(path: Path) -> Iterator[None]:
    """Turn an error while ``path`` is read into an Outage if its content is not to blame.

    Its content is not to blame if memory is short, or if the file cannot be read from start to end because its folder
    or its disk is gone, or because the user may not read it.
    """
    try:
        yield
    except WriteError:
        raise
    except (VimixError, MemoryError) as error:
        if (reason := "out of memory" if _lacks_memory(error) else _unreadable(path)) is not None:
            raise Outage(reason) from error
        raise


def _unreadable(path: Path) -> str | None:
    """Return the message of the system if a regular file cannot be read from start to end, None if it can."""
    try:
        if stat.S_ISREG(path.stat().st_mode):  # opening a FIFO would wait for ever
            with path.open("rb", buffering=0) as file:
                while file.read(2**20):
                    pass
    except OSError as error:
        return None if error.errno in OWN_FAULTS else f"cannot be read: {error.strerror}"
    return None


def _lacks_memory(error: BaseException) -> bool:
    return any(
        isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM for cause in _causes(error)
    )


def sweep(path: Path) -> None:
    """Remove temporary files of ``path``, which may be large, that killed processes of this machine left."""
    sweep_folder(path.parent, re.escape(path.name))


def sweep_folder(folder: Path, name: str = ".*") -> None:
    """Remove temporary files of files ``name`` in ``folder`` that killed processes of this machine left."""
    pattern = re.compile(rf"\.{name}\.{_NODE}-(\d+)\.tmp")
    for leftover in list(folder.iterdir()) if folder.is_dir() else ():
        match = pattern.fullmatch(leftover.name)
        if match and not _runs(int(match[1])):
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def sync_directory(directory: Path) -> None:
    """Make renames inside ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def regular_file(path: Path) -> os.stat_result:
    """Return the state of a regular file; opening a FIFO would wait for ever. Raises VimixError with the reason."""
    try:
        state = path.stat()
    except OSError as error:
        raise VimixError(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(state.st_mode):
        raise VimixError("not a regular file")
    return state


def require_file(path: Path, what: str, advice: str) -> None:
    """Raise VimixError unless ``path`` is a file; the message says what is there instead, and gives ``advice``."""
    if path.is_file():
        return
    state = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else ""
    raise VimixError(f"{path} {state}, no {what}; {advice}" if state else f"{path}: there is no such {what}; {advice}")


def require_folder(path: Path, content: str) -> None:
    """Raise VimixError unless ``path`` is a folder; the message says what is there, and the ``content`` to expect."""
    if not path.is_dir():
        state = f"{path} is a file, not a folder" if path.exists() else f"{path}: there is no such folder"
        raise VimixError(f"{state}; expected {content}")
