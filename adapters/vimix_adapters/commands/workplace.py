"""What every command that trains or evaluates works with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen
from filelock import FileLock, Timeout

from vimix.ports.clips import VideoStore
from vimix.ports.team import Team
from vimix.values.errors import VimixError
from vimix_adapters import config, wiring
from vimix_adapters.commands.interruption import StopRequests, listening
from vimix_adapters.encoders.network import Compute
from vimix_adapters.files import make_folder, writing
from vimix_adapters.metrics.logs import configure_logging, quieten_logging


@frozen(eq=False)
class Workplace:
    """A recipe with its store and device, the processes that share the work, and who may ask to stop."""

    recipe: config.Recipe
    store: VideoStore
    compute: Compute
    team: Team
    requests: StopRequests

    @property
    def writes(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.team.rank == 0

    @contextmanager
    def alone_in(self, folder: Path) -> Iterator[None]:
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


def in_use(folder: Path) -> bool:
    """Whether a process trains in ``folder`` right now."""
    if not (folder / ".lock").exists():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def workplace(recipe: config.Recipe, device: str) -> Iterator[Workplace]:
    """Set up logging, device, store and team; requests to stop are heard as long as the context lasts."""
    configure_logging()
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    with wiring.build_team(recipe, compute) as team, listening(speaks=team.rank == 0) as requests:
        if team.rank:
            quieten_logging()
        yield Workplace(recipe, store, compute, team, requests)
