"""Files that are whole or absent."""

import errno
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vimix.values.errors import VimixError

_NODE = re.sub(r"[^A-Za-z0-9]", "_", platform.node())
"""Of temporary names: processes of different machines have the same numbers."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM = FULL | {errno.EROFS}
"""Errors that only writing meets."""


class WriteError(VimixError, OSError):
    """The place where results go is full or cannot be written: no fault of what was being worked on."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``, else removed.

    A crash or a full disk at any moment leaves the old ``path`` (or none), never half a file. Raises WriteError if the
    disk is full, or ``path`` is a folder, lies in none or where nothing may be written.
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
        with suppress(OSError):  # it would hide what went wrong
            temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def require_writable(path: Path) -> None:
    """Find out before hours of work whether ``path`` can be written; makes the folders above it.

    Raises WriteError if not.
    """
    temporary = _begun(path)
    with writing(path):
        temporary.unlink()


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
                raise WriteError(_refusal(path, "it is no regular file", full=False))
    require_writable(path)


def make_folder(path: Path) -> None:
    """Make the folder and those above it, or find them. Raises WriteError."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever the system has against writing ``path`` is a WriteError that names it."""
    try:
        yield
    except WriteError:
        raise  # it says so already
    except OSError as error:
        reason = f"{error.filename} is no folder" if error.errno == errno.EEXIST else error.strerror or str(error)
        raise WriteError(_refusal(path, reason, full=error.errno in FULL)) from error


def _begun(path: Path) -> Path:
    """The temporary file of ``path``, empty: who cannot make it is told before the work, and not what else failed."""
    temporary = path.with_name(f".{path.name}.{_NODE}-{os.getpid()}.tmp")
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    return temporary


def _refusal(path: Path, reason: str, full: bool) -> str:
    advice = "free some space, or choose another place" if full else "choose another name or place, or mend this one"
    return f"{path} cannot be written: {reason}; {advice}"


def no_room(error: BaseException) -> str | None:
    """What the system says of a full or read-only disk or a limit on the size of files; None for any other error.

    HDF5 reports a failed write as a RuntimeError now and then, with the number in its text.
    """
    cause: BaseException | None = error
    while cause is not None:
        found = re.search(r"errno = (\d+)", str(cause))
        number = cause.errno if isinstance(cause, OSError) else int(found[1]) if found else None
        if number in NO_ROOM:
            return os.strerror(number)
        cause = cause.__context__
    return None


def sweep(path: Path) -> None:
    """Remove what killed processes of this machine left of ``path``'s temporary files: they may be as large as it."""
    pattern = re.compile(re.escape(f".{path.name}.{_NODE}-") + r"(\d+)\.tmp")
    for leftover in list(path.parent.iterdir()) if path.parent.is_dir() else ():
        found = pattern.fullmatch(leftover.name)
        if found and not _runs(int(found[1])):
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
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


def require_file(path: Path, what: str, advice: str) -> None:
    """Raise VimixError, with what to do, unless ``path`` is a file; a folder is told from nothing."""
    if path.is_file():
        return
    state = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else ""
    raise VimixError(f"{path} {state}, no {what}; {advice}" if state else f"{path}: there is no such {what}; {advice}")


def require_folder(path: Path, content: str) -> None:
    """Raise VimixError unless ``path`` is a folder, where ``content`` should be; a file is told from nothing."""
    if not path.is_dir():
        state = f"{path} is a file, no folder" if path.exists() else f"{path}: there is no such folder"
        raise VimixError(f"{state}; expected {content}")
