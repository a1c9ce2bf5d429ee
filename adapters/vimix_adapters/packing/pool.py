"""Worker processes that may hang or die: each job has a time limit, and a lost worker costs its job only."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from attrs import define, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import WriteError, no_room

Job = TypeVar("Job")
START_SECONDS = 120.0
"""That a worker may take to import what it needs; a job's own time runs from then on."""
CHANCES = 2
"""Workers that may die of a job before it is to blame: they also die of a full memory, or are killed by hand."""

PRELOAD: list[str] = []
"""Modules that are imported, besides that of the work, before workers are forked: of work that may come later."""


@frozen
class Outcome(Generic[Job]):
    """What became of a job: ``reason`` is None if it was done, else why not."""

    job: Job
    reason: str | None


@frozen
class _Answer:
    """``usable``: the worker can go on. ``died``: it ended by itself. ``fatal``: no job can be done."""

    reason: str | None
    usable: bool = True
    died: bool = False
    fatal: bool = False


@define
class _Task(Generic[Job]):
    job: Job
    seconds: float
    chances: int = CHANCES


@define
class _Worker(Generic[Job]):
    process: Any
    pipe: Connection
    ready: bool = False
    task: _Task[Job] | None = None
    deadline: float = 0.0

    def give(self, task: _Task[Job]) -> None:
        """Send it a job. One that was killed while idle is found out when its answer is read."""
        self.task = task
        self.deadline = time.monotonic() + (task.seconds if self.ready else START_SECONDS)
        try:
            self.pipe.send(task.job)
        except OSError:
            self.process.kill()

    def answer(self) -> _Answer | None:
        """What became of its job; None if it only says that it has started."""
        assert self.task is not None
        if not self.pipe.poll():
            self.process.kill()
            self.process.join()
            limit = self.task.seconds if self.ready else START_SECONDS
            return _Answer(f"not finished within {limit:g} seconds: killed", usable=False)
        try:
            received = self.pipe.recv()
        except (EOFError, OSError):
            return _Answer(f"the decoder died ({self._end()})", usable=False, died=True)
        if received is None:
            self.ready, self.deadline = True, time.monotonic() + self.task.seconds
        assert received is None or isinstance(received, _Answer)
        return received

    def _end(self) -> str:
        self.process.join()
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def run_jobs(
    work: Callable[[Job], None], jobs: Sequence[Job], workers: int, seconds: float | Callable[[Job], float]
) -> Iterator[Outcome[Job]]:
    """Do all jobs in up to ``workers`` processes, each killed with its job after ``seconds``; outcomes as they come.

    ``work`` and the jobs are pickled to fresh processes, never forked from this one: it may have threads. A VimixError
    is a reason, as is any other exception, a time-out or the death of two workers in turn. Raises WriteError as soon as
    a job finds the disk full: that is no fault of the job. The workers end with this process, however it ends.
    """
    context = _context(work)
    waiting = [_Task(job, seconds(job) if callable(seconds) else seconds) for job in reversed(jobs)]
    busy: list[_Worker[Job]] = []
    idle: list[_Worker[Job]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                busy.append(idle.pop() if idle else _start(context, work))
                busy[-1].give(waiting.pop())
            for worker, task, answer in _answers(busy):
                if answer.fatal:
                    raise WriteError(answer.reason)
                busy.remove(worker)
                idle.extend([worker] if answer.usable else [])
                task.chances -= 1
                if answer.died and task.chances:
                    waiting.append(task)
                else:
                    yield Outcome(task.job, answer.reason)
    finally:
        for worker in busy + idle:
            worker.process.kill()
            worker.process.join()


def _answers(busy: Sequence[_Worker[Job]]) -> Iterator[tuple[_Worker[Job], _Task[Job], _Answer]]:
    """Wait until a worker has something to say or is late; what is then known of any of them."""
    soonest = min(worker.deadline for worker in busy)
    ready = wait([worker.pipe for worker in busy], timeout=max(0.0, soonest - time.monotonic()))
    for worker in list(busy):
        late = time.monotonic() >= worker.deadline
        if (worker.pipe in ready or late) and (answer := worker.answer()) is not None and worker.task is not None:
            yield worker, worker.task, answer


def _context(work: Callable[[Any], None]) -> Any:
    """Processes forked from a fresh one that has imported what ``work`` needs once for all of them, or spawned ones."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([getattr(work, "func", work).__module__, *PRELOAD])
    return context


def _start(context: Any, work: Callable[[Any], None]) -> "_Worker[Any]":
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()
    return _Worker(process, here)


def _serve(work: Callable[[Any], None], pipe: Connection) -> None:
    """Take jobs until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        pipe.send(None)
        while True:
            pipe.send(_done(work, pipe.recv()))
    except (EOFError, OSError):
        os._exit(0)


def _done(work: Callable[[Any], None], job: Any) -> _Answer:
    try:
        work(job)
    except WriteError as error:
        return _Answer(str(error), fatal=True)
    except VimixError as error:
        return _Answer(str(error))
    except Exception as error:  # a broken file may raise anything; it must cost that file only
        return _Answer(
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}", fatal=no_room(error) is not None
        )
    return _Answer(None)


def _end_with_parent() -> None:
    """A worker that hangs in its job would outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
