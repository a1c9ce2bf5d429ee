"""Worker processes that may hang or crash: each job has a time limit, and a lost worker fails its own job only."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from attrs import define, evolve, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import Outage, WriteError, no_room

Job = TypeVar("Job")

START_SECONDS = 120.0
"""Time limit for a new worker to import its code; the time of a job begins when its worker is ready."""
START_ATTEMPTS = 3
"""Number of workers that may end in turn before they are ready."""
CHANCES = 2
"""Number of workers that a job may lose before it fails: they also die if memory is short, or are killed by hand."""
PRELOAD: list[str] = []
"""Modules to import before workers are forked, in addition to that of the work: those of later work."""
END_SECONDS = 5.0
"""Time to wait for a killed worker: one that hangs in the kernel (a dead network disk) is left behind."""


@frozen
class Outcome(Generic[Job]):
    """Result of a job."""

    job: Job
    reason: str | None = None
    """Why the job failed; None if it succeeded."""
    passing: bool = False
    """Whether the cause is not the job's own (memory, a disk that is gone), so that another try may succeed."""
    hung: bool = False
    """Whether the job failed because it took too long."""
    value: Any = None
    """The result of a job that succeeded."""


@frozen
class _MoreTime:
    """Answer of a worker whose job turned out to be long."""

    seconds: float


_PIPE: list[Connection] = []
"""The pipe to the parent, in a worker process."""


def allow(seconds: float) -> None:
    """Give the job that runs in this worker process ``seconds`` from now on; without effect in other processes."""
    for pipe in _PIPE:
        pipe.send(_MoreTime(seconds))


@define(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    job: Any = None
    chances: int = CHANCES
    limit: float = 0.0
    deadline: float = 0.0

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        self.process.join(END_SECONDS)
        self.pipe.close()

    def cause(self) -> str:
        """Say why the process ended."""
        self.process.join(END_SECONDS)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"{name}: out of memory?" if name == "SIGKILL" else name


def unwatched(_job: Any) -> None:
    """Do nothing when a job starts."""


def run_jobs(
    work: Callable[[Job], Any],
    jobs: Sequence[Job],
    workers: int,
    seconds: float | Callable[[Job], float],
    started: Callable[[Job], None] = unwatched,
) -> Iterator[Outcome[Job]]:
    """Run all jobs in up to ``workers`` processes and yield outcomes as they come; a job is killed after ``seconds``.

    ``work`` and the jobs are pickled to new processes, which neither are forked from this one, since it may have
    threads, nor run its script; results of ``work`` come back pickled. A job fails if it raises an exception, takes too
    long, or loses two workers in turn. ``started`` is called with each job that a worker gets. The workers end with
    this process, however it ends. Raises VimixError if no worker can be started, and WriteError as soon as a job finds
    the disk full: no job is to blame for either.
    """
    pool = _Pool(work, [(job, CHANCES) for job in reversed(jobs)], seconds, started)
    try:
        while pool.waiting or pool.busy:
            pool.fill(workers)
            for worker in _due(pool.busy):
                if not worker.ready:
                    pool.begin(worker)
                elif (outcome := pool.outcome(worker)) is not None:
                    yield outcome
    finally:
        for worker in [*pool.busy, *pool.idle]:
            worker.end()


@define(eq=False)
class _Pool:
    work: Callable[[Any], Any]
    waiting: list[tuple[Any, int]]
    """Jobs that wait for a worker, and the number of workers that each may still lose."""
    seconds: float | Callable[[Any], float]
    started: Callable[[Any], None]
    busy: list[_Worker] = field(factory=list)
    idle: list[_Worker] = field(factory=list)
    failed_starts: int = 0

    def fill(self, workers: int) -> None:
        """Give every worker a job: idle workers at once, new ones when they are ready."""
        while self.waiting and len(self.busy) < workers:
            worker = self.idle.pop() if self.idle else _start(self.work)
            worker.job, worker.chances = self.waiting.pop()
            worker.deadline = time.monotonic() + START_SECONDS
            self.busy.append(worker)
            if worker.ready:
                self._give(worker)

    def begin(self, worker: _Worker) -> None:
        """Give a new worker its job if it is ready, or replace it. Raises VimixError if too many failed to start."""
        if _is_ready(worker):
            self.failed_starts = 0
            self._give(worker)
            return
        self.failed_starts += 1
        if self.failed_starts >= START_ATTEMPTS:
            late = time.monotonic() >= worker.deadline
            why = f"not ready within {START_SECONDS:g} seconds" if late else worker.cause()
            raise VimixError(
                f"{self.failed_starts} decoding processes ended before they could start ({why}): is there memory left? "
                "--workers 1 needs least; finished work is kept, call the command again to go on"
            )
        self._take_back(worker)

    def outcome(self, worker: _Worker) -> Outcome[Any] | None:
        """Return the outcome of the worker's job, None if another worker gets the job; ends or frees this one."""
        try:
            answer = worker.pipe.recv() if worker.pipe.poll() else None
        except (EOFError, OSError):
            return self._lost(worker)
        if isinstance(answer, WriteError):
            raise answer
        if isinstance(answer, _MoreTime):
            worker.limit, worker.deadline = answer.seconds, time.monotonic() + answer.seconds
            return None
        self.busy.remove(worker)
        if answer is None:
            worker.end()
            late = f"not finished within {worker.limit:g} seconds: killed"
            return Outcome(worker.job, late, hung=True)
        self.idle.append(worker)
        outcome: Outcome[Any] = evolve(answer, job=worker.job)
        return outcome

    def _lost(self, worker: _Worker) -> Outcome[Any] | None:
        cause = worker.cause()
        worker.chances -= 1
        if worker.chances:
            self._take_back(worker)
            return None
        self.busy.remove(worker)
        worker.end()
        return Outcome(worker.job, f"the decoder died ({cause})", passing="SIGKILL" in cause)

    def _give(self, worker: _Worker) -> None:
        worker.limit = self.seconds(worker.job) if callable(self.seconds) else self.seconds
        worker.deadline = time.monotonic() + worker.limit
        self.started(worker.job)
        try:
            worker.pipe.send(worker.job)
        except OSError:  # it died between two jobs
            self._take_back(worker)

    def _take_back(self, worker: _Worker) -> None:
        """End the worker and give its job to another."""
        self.busy.remove(worker)
        self.waiting.append((worker.job, worker.chances))
        worker.end()


def _context(work: Callable[[Any], Any]) -> Any:
    """Return a context that forks workers from a server with the imports of ``work``, or spawns them without fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(work, "func", work).__module__, *PRELOAD])
    return context


def _start(work: Callable[[Any], Any]) -> _Worker:
    context = _context(work)
    parent_end, child_end = context.Pipe()
    process = context.Process(target=_serve, args=(work, child_end), daemon=True)
    with _script_hidden():
        process.start()
    child_end.close()
    return _Worker(process, parent_end)


@contextlib.contextmanager
def _script_hidden() -> Iterator[None]:
    """Hide the caller's script, which multiprocessing would run again in the worker: few are written for that."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _due(busy: Sequence[_Worker]) -> list[_Worker]:
    """Wait for workers that have answered, have died or have run out of time."""
    soonest = min(worker.deadline for worker in busy)
    answered = wait([worker.pipe for worker in busy], timeout=max(0.0, soonest - time.monotonic()))
    return [worker for worker in busy if worker.pipe in answered or time.monotonic() >= worker.deadline]


def _is_ready(worker: _Worker) -> bool:
    with contextlib.suppress(EOFError, OSError):
        worker.ready = worker.pipe.poll() and worker.pipe.recv() is None
    return worker.ready


def _serve(work: Callable[[Any], Any], pipe: Connection) -> None:
    """Run jobs from the pipe until it is closed: the code of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _end_with_parent()
    with contextlib.suppress(OSError):
        # If memory runs out, Linux should kill the decoder at fault, not the command.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _PIPE.append(pipe)
    try:
        pipe.send(None)
        while True:
            job = pipe.recv()
            pipe.send(_answer(work, job))
    except (EOFError, OSError):
        os._exit(0)


def _end_with_parent() -> None:
    """End this worker when its parent ends: one that hangs in its job would outlive a killed parent.

    On Linux the kernel kills it, since a thread cannot while a library holds Python's lock; elsewhere a thread does.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(parent.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)  # the signal comes when the pipe is closed


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _answer(work: Callable[[Any], Any], job: Any) -> Outcome[None] | WriteError:
    """Run the job; returns its outcome, without the job itself, or the error of a full disk."""
    try:
        return Outcome(None, value=work(job))
    except WriteError as error:
        return WriteError(str(error))
    except VimixError as error:
        return Outcome(None, str(error), isinstance(error, Outage))
    except MemoryError:
        return Outcome(None, "out of memory", passing=True)
    except Exception as error:  # a broken file may raise anything, and must fail alone
        if no_room(error) is not None:
            return WriteError(str(error))
        return Outcome(None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
