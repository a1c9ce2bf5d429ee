"""Engines that run jobs: our own worker processes on one machine, or Ray on many.

A task of Ray runs its jobs with ``run_jobs`` in one worker process of its node. Time limits, workers that crash, and
the reasons why a job fails are therefore the same. Ray adds the choice of a node and repeats the jobs of a lost node.
"""

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from attrs import define, evolve, frozen

from vimix.values.errors import VimixError
from vimix_adapters.prepare.worker_pool import CHANCES, Job, Outcome, run_jobs, unwatched

TASKS_A_SLOT = 2
"""Tasks that are given to Ray for each that can run at once: the next task waits on the node when one ends."""
RECOUNT_SECONDS = 5.0
"""Time after which the cores of the cluster are counted again: nodes come and go."""
TASK_SECONDS = 30.0
"""Length of a task: shorter jobs share one, because Ray starts few tasks a second, and fewer with a GPU."""
MOST_JOBS = 200
"""Most jobs of a task."""


class Engine(Protocol):
    """Runs jobs as ``run_jobs`` does, with the number of workers that the engine has."""

    def __call__(
        self,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        seconds: float | Callable[[Job], float],
        started: Callable[[Job], None] = unwatched,
        /,
    ) -> Iterator[Outcome[Job]]:
        """Run all jobs and yield outcomes as they come."""


@frozen
class LocalEngine:
    """Implements ``Engine`` with worker processes of this machine."""

    workers: int

    def __call__(
        self,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        seconds: float | Callable[[Job], float],
        started: Callable[[Job], None] = unwatched,
        /,
    ) -> Iterator[Outcome[Job]]:
        """Run all jobs and yield outcomes as they come. Raises what ``run_jobs`` raises."""
        return run_jobs(work, jobs, self.workers, seconds, started)


@frozen
class RayEngine:
    """Implements ``Engine`` with a Ray cluster whose nodes have this vimix and the same folders.

    A job whose node is lost runs again, and fails when it has lost two.
    """

    workers: int = 0
    """Most tasks at once; 0: as many as the cluster has room for."""
    address: str = ""
    """Address of the cluster; empty: that of RAY_ADDRESS, else a new one on this machine, which ends with the jobs."""
    gpus: float = 0.0
    """Share of a GPU that a task takes, at most 1; 0: tasks see no GPU."""

    def __call__(
        self,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        seconds: float | Callable[[Job], float],
        started: Callable[[Job], None] = unwatched,
        /,
    ) -> Iterator[Outcome[Job]]:
        """Run all jobs and yield outcomes as they come; ``started`` is called when a job is given to Ray.

        Raises VimixError if Ray is not installed, the cluster cannot be reached or lacks a GPU for ``gpus``, or a node
        has another version of vimix or lacks the working folder; and what ``run_jobs`` raises.
        """
        if not jobs:
            return
        with _cluster(self.address) as ray:
            if self.gpus and not ray.cluster_resources().get("GPU"):
                raise VimixError("--gpus-per-task: the Ray cluster has no GPU: leave the option out")
            here = _Here(Path.cwd(), version("vimix-ssl"))
            run = ray.put(partial(_run, work=work, seconds=seconds, here=here, enough=TASK_SECONDS))
            task = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=CHANCES - 1)(run_task)
            waiting, running, pace = deque(jobs), dict[Any, list[Job]](), _Pace()
            try:
                while waiting or running:
                    slots = self.workers or TASKS_A_SLOT * self._room(ray)
                    while waiting and len(running) < slots:
                        batch = [waiting.popleft() for _ in range(pace.jobs(len(waiting), slots))]
                        for job in batch:
                            started(job)
                        running[task.remote(run, batch)] = batch
                    done, _ = ray.wait(list(running), timeout=RECOUNT_SECONDS)
                    for reference in done:
                        batch = running.pop(reference)
                        outcomes = _outcomes(ray, reference, batch, pace)
                        waiting.extendleft(reversed(batch[len(outcomes) :]))
                        yield from outcomes
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)

    def _room(self, ray: Any) -> int:
        """Return the number of tasks that the cluster can run at once."""
        resources = ray.cluster_resources()
        cores = int(resources.get("CPU", 1))
        return max(1, min(cores, int(resources.get("GPU", 0) / self.gpus)) if self.gpus else cores)


@define
class _Pace:
    """Measures how long jobs take, to give several short ones to a task."""

    done: int = 0
    seconds: float = 0.0

    def jobs(self, waiting: int, slots: int) -> int:
        """Return the number of jobs for the next task: a fair share of those that wait, one before any is done."""
        enough = int(TASK_SECONDS * self.done / max(self.seconds, 1e-9))
        return max(1, min(enough, waiting // slots, MOST_JOBS))


@frozen
class _Here:
    """Facts about the process that gives out the jobs, which every node must share."""

    folder: Path
    version: str


def run_task(run: Callable[[Any], Any], jobs: Any) -> Any:
    """Run jobs: the code of a task. A module-level function, so that nodes import it and it is not sent as code."""
    return run(jobs)


def _run(
    jobs: Sequence[Job],
    work: Callable[[Job], Any],
    seconds: float | Callable[[Job], float],
    here: _Here,
    enough: float,
) -> tuple[list[Outcome[Job]], float] | VimixError:
    """Run jobs in a worker process of this node until ``enough`` seconds have passed.

    Returns the outcomes of the first jobs and how many seconds they took, or the error that ends all work.
    """
    node = os.uname().nodename
    if (found := version("vimix-ssl")) != here.version:
        return VimixError(f"node {node} has vimix {found}, expected {here.version}: install that on every node")
    try:
        os.chdir(here.folder)
    except OSError as error:
        return VimixError(
            f"node {node} cannot enter {here.folder} ({error.strerror}): every node needs the same folders"
        )
    begun, outcomes = time.monotonic(), []
    try:
        for outcome in run_jobs(work, jobs, 1, seconds):
            outcomes.append(outcome)
            if time.monotonic() - begun > enough:  # the others go back: these jobs are not short
                break
    except VimixError as error:
        return error
    return outcomes, time.monotonic() - begun


def _outcomes(ray: Any, reference: Any, jobs: Sequence[Job], pace: _Pace) -> list[Outcome[Job]]:
    """Return the outcomes of a task's first jobs, or of all. Raises the error that ends all work."""
    try:
        result: tuple[list[Outcome[Job]], float] | VimixError = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise VimixError(f"a task failed on its node: {str(error).strip().splitlines()[-1]}") from error
    except ray.exceptions.RayError as error:
        why = f"its node or its memory was lost {CHANCES} times ({' '.join(str(error).split())[:200]})"
        return [Outcome(job, why, passing=True) for job in jobs]
    if isinstance(result, VimixError):
        raise result
    outcomes, seconds = result
    pace.done, pace.seconds = pace.done + len(outcomes), pace.seconds + seconds
    return [evolve(outcome, job=job) for outcome, job in zip(outcomes, jobs, strict=False)]


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Yield the module ``ray``, connected; a connection that the process has already is used, and stays."""
    try:
        import ray
    except ImportError as error:
        raise VimixError("--engine ray: Ray is not installed: pip install 'vimix-ssl[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    where = f"at {address}" if address else "on this machine"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about GPUs for tasks that ask for none
            # Not the cluster that happens to run here: it may be that of a killed call, and about to end.
            ray.init(
                address=address or os.environ.get("RAY_ADDRESS") or "local", log_to_driver=False, logging_level="error"
            )
    except Exception as error:  # Ray raises bare exceptions too
        raise VimixError(
            f"no Ray cluster {where} can be used ({' '.join(str(error).split())[:200]}): check --address, or start one "
            "with ray start --head"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
