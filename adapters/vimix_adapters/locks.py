"""Locks that admit one process at a time to a folder or an output file, for commands that may be started twice."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vimix.values.errors import VimixError
from vimix_adapters.files import make_folder, writing


@contextmanager
def locked_folder(folder: Path, doing: str) -> Iterator[None]:
    """Make ``folder`` and keep other processes out of it, such as a job that the cluster started twice.

    The operating system releases the lock when the process ends, however it ends. Raises VimixError if another process
    is ``doing`` something there, WriteError if the folder is not writable.
    """
    make_folder(folder)
    with _held(folder / ".lock", folder, doing):
        yield


@contextmanager
def locked_file(path: Path, doing: str, part: str = "") -> Iterator[None]:
    """Keep other processes from writing ``path``, as ``locked_folder`` does; the lock lies beside it until the end.

    With ``part``, such as ``shard-2-of-8``, processes with other parts may work at the same time.
    """
    make_folder(path.parent)
    file = path.with_name(f".{path.name}.{part}.lock" if part else f".{path.name}.lock")
    with _held(file, path, doing):
        try:
            yield
        finally:
            with suppress(OSError):
                file.unlink()


def is_locked(folder: Path) -> bool:
    """Whether a process works in ``folder``."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def _held(file: Path, path: Path, doing: str) -> Iterator[None]:
    with writing(path):
        file.touch()
    try:
        lock = FileLock(file, timeout=0).acquire()
    except Timeout as error:
        raise VimixError(
            f"{path}: another process is {doing} there: wait until it has ended, or choose another --out"
        ) from error
    with lock:
        yield
