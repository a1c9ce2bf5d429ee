"""The session of a command that trains or evaluates: recipe, store, device and process group."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from attrs import frozen

from vimix.ports.clips import VideoStore
from vimix.ports.process_group import ProcessGroup
from vimix_adapters import config, wiring
from vimix_adapters.commands.signals import StopRequests, stop_on_signals
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.locks import locked_folder
from vimix_adapters.metrics.logs import configure_logging, quieten_logging

UNTRAINED_STAGE = (
    "nothing was learned: every step was skipped, because its loss or gradient was not finite; lower optim.lr, add "
    "optim.warmup_steps, or set run.precision = 'float32', and start a new run"
)
"""The end of a message on a training whose weights are those that it began with."""


@frozen(eq=False)
class Session:
    """A recipe with its store, device and process group, and the requests to stop."""

    recipe: config.Recipe
    store: VideoStore
    compute: Compute
    group: ProcessGroup
    requests: StopRequests

    @property
    def writes(self) -> bool:
        """Whether this process is the one that prints and writes files."""
        return self.group.rank == 0

    def locked(self, folder: Path) -> AbstractContextManager[None]:
        """Lock ``folder`` against other processes, such as a job that the cluster started twice.

        The operating system releases the lock when the process ends, however it ends. Raises VimixError if another
        process holds it, WriteError if the folder is not writable.
        """
        return locked_folder(folder, "training") if self.writes else nullcontext()


@contextmanager
def open_session(recipe: config.Recipe, device: str) -> Iterator[Session]:
    """Set up logging, device, store, process group and signal handlers for as long as the context lasts."""
    configure_logging()
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    with wiring.build_process_group(recipe, compute) as group, stop_on_signals(announce=group.rank == 0) as requests:
        if group.rank:
            quieten_logging()
        yield Session(recipe, store, compute, group, requests)
