"""Worker processes that may hang or die: each job has a time limit, and a lost worker costs its job only."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from attrs import define, frozen

from vimix.values.errors import VimixError

Job = TypeVar("Job")


@frozen
class Outcome(Generic[Job]):
    """What became of a job: ``reason`` is None if it was done, else why not."""

    job: Job
    reason: str | None


@define
class _Worker(Generic[Job]):
    process: Any
    pipe: Connection
    job: Job
    deadline: float


def run_jobs(work: Callable[[Job], None], jobs: Sequence[Job], workers: int, seconds: float) -> Iterator[Outcome[Job]]:
    """Do all jobs in up to ``workers`` processes, each killed with its job after ``seconds``; outcomes as they come.

    ``work`` and the jobs are pickled to fresh (spawned) processes. A VimixError is a reason, as is any other exception,
    a time-out or the death of the worker. The workers end with this process, however it ends.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(jobs))
    busy: list[_Worker[Job]] = []
    idle: list[tuple[Any, Connection]] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                process, pipe = idle.pop() if idle else _start(context, work)
                job = waiting.pop()
                pipe.send(job)
                busy.append(_Worker(process, pipe, job, time.monotonic() + seconds))
            soonest = min(worker.deadline for worker in busy)
            ready = wait([worker.pipe for worker in busy], timeout=max(0.0, soonest - time.monotonic()))
            for worker in list(busy):
                if worker.pipe not in ready and time.monotonic() < worker.deadline:
                    continue
                busy.remove(worker)
                outcome, alive = _collect(worker, seconds, worker.pipe in ready)
                if alive:
                    idle.append((worker.process, worker.pipe))
                yield outcome
    finally:
        for process in [worker.process for worker in busy] + [process for process, _ in idle]:
            process.kill()
            process.join()


def _start(context: Any, work: Callable[[Any], None]) -> tuple[Any, Connection]:
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(work, there), daemon=True)
    process.start()
    there.close()
    return process, here


def _collect(worker: "_Worker[Job]", seconds: float, answered: bool) -> tuple[Outcome[Job], bool]:
    """The outcome, and whether the worker can go on."""
    if not answered:
        worker.process.kill()
        worker.process.join()
        return Outcome(worker.job, f"not finished within {seconds:g} seconds: killed"), False
    try:
        return Outcome(worker.job, worker.pipe.recv()), True
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode
        cause = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return Outcome(worker.job, f"the decoder died ({cause})"), False


def _serve(work: Callable[[Any], None], pipe: Connection) -> None:
    """Take jobs until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        try:
            work(job)
            reason = None
        except VimixError as error:
            reason = str(error)
        except Exception as error:  # a broken file may raise anything; it must cost that file only
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        pipe.send(reason)
