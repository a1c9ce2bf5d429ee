"""Requests to stop: Ctrl-C, and the SIGUSR1 and SIGTERM of a cluster."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from vimix.values.errors import Interrupted

RESUME_ME = 75
"""Exit code of a run that was asked to stop and continues when it is called again: EX_TEMPFAIL of sysexits.h."""
BY_CTRL_C = 130
"""Exit code after Ctrl-C, as shells use it."""
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequests:
    """The last request to stop. In training it waits until the loop has saved; at other times the run ends at once.

    Ending at once loses nothing: finished stages are kept, and every file is whole or absent. A second Ctrl-C does not
    wait for the loop.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._deferred = False

    def __call__(self) -> bool:
        """Whether there is a request."""
        return self.number is not None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Within this context the caller checks for requests itself, and no exception is raised."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def handle(self, number: int, _: FrameType | None) -> None:
        """The signal handler. Raises Interrupted unless deferred, KeyboardInterrupt for a second Ctrl-C."""
        repeated = self.number is not None and number == signal.SIGINT
        self.number = number
        if repeated:
            raise KeyboardInterrupt
        if not self._deferred:
            raise Interrupted("finished stages are kept")
        print("stopping: the current step will be finished and saved first", file=sys.stderr)


@contextmanager
def stop_at_once() -> Iterator[None]:
    """End with exit code 75 on SIGTERM and SIGUSR1 while a command starts: no work can be lost yet.

    Libraries are still being imported then, whose code might swallow an exception.
    """

    def end(number: int, _: FrameType | None) -> None:
        line = f"stopped by {signal.Signals(number).name}: nothing was under way; call the same command again\n"
        with suppress(OSError):
            os.write(2, line.encode())
        os._exit(RESUME_ME)

    with _handling(dict.fromkeys((signal.SIGTERM, signal.SIGUSR1), end)):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals as long as the context lasts. Python handles them in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_on_signals(announce: bool = True) -> Iterator[StopRequests]:
    """Handle signals as long as the context lasts. A run that is interrupted exits with 75, or 130 after Ctrl-C."""
    requests = StopRequests()
    try:
        with _handling(dict.fromkeys(SIGNALS, requests.handle)):
            yield requests
    except Interrupted as end:
        name = signal.Signals(requests.number or signal.SIGTERM).name
        if announce:
            print(f"stopped by {name}: {end}; call the same command again (with --resume) to continue", file=sys.stderr)
        raise SystemExit(BY_CTRL_C if requests.number == signal.SIGINT else RESUME_ME) from None
