"""What every command that trains or evaluates works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from filelock import FileLock, Timeout

from vimix.ports.clips import VideoStore
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix_adapters import config, wiring
from vimix_adapters.commands.signals import StopRequests, stop_on_signals
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.files import make_folder, writing
from vimix_adapters.metrics.logs import configure_logging, quieten_logging


@frozen(eq=False)
class Session:
    """A recipe with its store and device, the processes that share the work, and who may ask to stop."""

    recipe: config.Recipe
    store: VideoStore
    compute: Compute
    group: ProcessGroup
    requests: StopRequests

    @property
    def writes(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.group.rank == 0

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Nobody else trains in ``folder`` meanwhile, say a job that the cluster started twice.

        The system gives the lock back when the process ends, however it ends. Raises VimixError if it is taken,
        WriteError if nothing can be written there.
        """
        if not self.writes:
            yield
            return
        make_folder(folder)
        with writing(folder):
            (folder / ".lock").touch()
        try:
            lock = FileLock(folder / ".lock", timeout=0).acquire()
        except Timeout as error:
            raise VimixError(
                f"{folder}: another process trains there: wait until it has ended, or choose another --out"
            ) from error
        with lock:
            yield


def is_locked(folder: Path) -> bool:
    """Whether a process trains in ``folder`` right now."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def open_session(recipe: config.Recipe, device: str) -> Iterator[Session]:
    """Set up logging, device, store and group; requests to stop are heard as long as the context lasts."""
    configure_logging()
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    with wiring.build_process_group(recipe, compute) as group, stop_on_signals(speaks=group.rank == 0) as requests:
        if group.rank:
            quieten_logging()
        yield Session(recipe, store, compute, group, requests)
