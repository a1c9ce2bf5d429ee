"""Worker processes that may hang or die: each job has a time limit, and a lost worker costs its job only."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen

from vimix.values.errors import VimixError

Job = TypeVar("Job")

START_SECONDS = 120.0
"""That a fresh worker may take to import its code; a job's own time begins when its worker is ready."""
START_ATTEMPTS = 3
"""Workers that may end in turn before they are ready."""
END_SECONDS = 5.0
"""That a killed worker is waited for: one that hangs in the kernel (a dead network disk) is left behind."""


@frozen
class Outcome(Generic[Job]):
    """What became of a job: ``reason`` is None if it was done, else why not."""

    job: Job
    reason: str | None


@define(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    job: Any = None
    deadline: float = 0.0

    def end(self) -> None:
        """Kill it, and wait a little."""
        self.process.kill()
        self.process.join(END_SECONDS)
        self.pipe.close()

    def cause(self) -> str:
        """Why it ended by itself."""
        self.process.join(END_SECONDS)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"{name}: out of memory?" if name == "SIGKILL" else name


def run_jobs(work: Callable[[Job], None], jobs: Sequence[Job], workers: int, seconds: float) -> Iterator[Outcome[Job]]:
    """Do all jobs in up to ``workers`` processes, each killed with its job after ``seconds``; outcomes as they come.

    ``work`` and the jobs are pickled to fresh (spawned) processes. A VimixError is a reason, as is any other exception,
    a time-out or the death of the worker. The workers end with this process, however it ends. Raises VimixError if
    workers cannot be started at all.
    """
    pool = _Pool(work, list(reversed(jobs)), seconds)
    try:
        while pool.waiting or pool.busy:
            pool.fill(workers)
            for worker in _due(pool.busy):
                if worker.ready:
                    yield pool.outcome(worker)
                else:
                    pool.begin(worker)
    finally:
        for worker in [*pool.busy, *pool.idle]:
            worker.end()


@define(eq=False)
class _Pool:
    work: Callable[[Any], None]
    waiting: list[Any]
    seconds: float
    busy: list[_Worker] = field(factory=list)
    idle: list[_Worker] = field(factory=list)
    failed_starts: int = 0

    def fill(self, workers: int) -> None:
        """Give every worker a job: idle ones at once, fresh ones when they are ready."""
        while self.waiting and len(self.busy) < workers:
            worker = self.idle.pop() if self.idle else _start(self.work)
            worker.job, worker.deadline = self.waiting.pop(), time.monotonic() + START_SECONDS
            self.busy.append(worker)
            if worker.ready:
                self._give(worker)

    def begin(self, worker: _Worker) -> None:
        """A fresh worker has said that it is ready, or never will."""
        if _says_ready(worker):
            self.failed_starts = 0
            self._give(worker)
            return
        self.failed_starts += 1
        if self.failed_starts >= START_ATTEMPTS:
            late = time.monotonic() >= worker.deadline
            why = f"not ready within {START_SECONDS:g} seconds" if late else worker.cause()
            raise VimixError(
                f"{self.failed_starts} decoding processes ended before they could start ({why}): is there memory left? "
                "--workers 1 needs least; what was done is kept, call the command again to go on"
            )
        self._take_back(worker)

    def outcome(self, worker: _Worker) -> Outcome[Any]:
        """What became of the worker's job; the worker is idle then, or gone."""
        self.busy.remove(worker)
        outcome, alive = _collect(worker, self.seconds)
        if alive:
            self.idle.append(worker)
        else:
            worker.end()
        return outcome

    def _give(self, worker: _Worker) -> None:
        worker.deadline = time.monotonic() + self.seconds
        try:
            worker.pipe.send(worker.job)
        except OSError:  # it died between two jobs
            self._take_back(worker)

    def _take_back(self, worker: _Worker) -> None:
        """The job is not to blame: it goes to another worker."""
        self.busy.remove(worker)
        self.waiting.append(worker.job)
        worker.end()


def _start(work: Callable[[Any], None]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _due(busy: Sequence[_Worker]) -> list[_Worker]:
    """Wait for the workers that have something to say, have died or have run out of time."""
    soonest = min(worker.deadline for worker in busy)
    answered = wait([worker.pipe for worker in busy], timeout=max(0.0, soonest - time.monotonic()))
    return [worker for worker in busy if worker.pipe in answered or time.monotonic() >= worker.deadline]


def _says_ready(worker: _Worker) -> bool:
    with contextlib.suppress(EOFError, OSError):
        worker.ready = worker.pipe.poll() and worker.pipe.recv() is None
    return worker.ready


def _collect(worker: _Worker, seconds: float) -> tuple[Outcome[Any], bool]:
    """The outcome, and whether the worker can go on."""
    try:
        if worker.pipe.poll():
            return Outcome(worker.job, worker.pipe.recv()), True
    except (EOFError, OSError):
        return Outcome(worker.job, f"the decoder died ({worker.cause()})"), False
    return Outcome(worker.job, f"not finished within {seconds:g} seconds: killed"), False


def _serve(work: Callable[[Any], None], pipe: Connection) -> None:
    """Take jobs until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with contextlib.suppress(OSError):
        # Where memory runs out, Linux should end the decoder at fault, not the run.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    try:
        pipe.send(None)
        while True:
            job = pipe.recv()
            pipe.send(_reason(work, job))
    except (EOFError, OSError):
        os._exit(0)


def _reason(work: Callable[[Any], None], job: Any) -> str | None:
    """Do the job; why not, if it fails."""
    try:
        work(job)
    except VimixError as error:
        return str(error)
    except MemoryError:
        return "out of memory"
    except Exception as error:  # a broken file may raise anything; it must cost that file only
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None
