"""Being asked to stop: by Ctrl-C, by a cluster's warning (SIGUSR1), by its SIGTERM."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vimix.values.errors import Interrupted

RESUME_ME = 75
"""Exit code of a run that was asked to stop and goes on when it is called again: EX_TEMPFAIL of sysexits.h."""
BY_CTRL_C = 130
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequests:
    """While training, a request is remembered until the loop has saved; elsewhere the run ends at once.

    That loses nothing either: finished stages are kept, and every file is whole or absent. Ctrl-C a second time does
    not wait for the step to end.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._patient = False

    def __call__(self) -> bool:
        """Whether a request came in."""
        return self.number is not None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Where the loop asks for requests itself."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def hear(self, number: int, _: FrameType | None) -> None:
        """The signal handler."""
        impatient = self.number is not None and number == signal.SIGINT
        self.number = number
        if impatient:
            raise KeyboardInterrupt
        if not self._patient:
            raise Interrupted("finished stages are kept")
        print("stopping: this step is finished and saved first", file=sys.stderr)


@contextmanager
def stop_on_signals(speaks: bool = True) -> Iterator[StopRequests]:
    """Hear requests as long as the context lasts. A run that ends for one exits with 75, or 130 after Ctrl-C."""
    requests = StopRequests()
    if threading.current_thread() is not threading.main_thread():  # Python takes signals in the main thread only
        yield requests
        return
    before = {number: signal.signal(number, requests.hear) for number in SIGNALS}
    try:
        yield requests
    except Interrupted as end:
        name = signal.Signals(requests.number or signal.SIGTERM).name
        if speaks:
            print(f"stopped by {name}: {end}; call the same command again (with --resume) to go on", file=sys.stderr)
        raise SystemExit(BY_CTRL_C if requests.number == signal.SIGINT else RESUME_ME) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
