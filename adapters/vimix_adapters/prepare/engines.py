"""Engines that run the jobs of preparation: our own worker processes on one machine, or Ray on many.

A task of Ray runs its job with ``run_jobs`` in one worker process of its node. Time limits, workers that crash, and the
reasons why a job fails are therefore the same. Ray adds the choice of a node and repeats the jobs of a lost node.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from attrs import evolve, frozen

from vimix.values.errors import VimixError
from vimix_adapters.prepare.worker_pool import CHANCES, Job, Outcome, run_jobs

TASKS_A_CORE = 2
"""Tasks that are given to Ray for each core of the cluster: the next task waits on the node when one ends."""
RECOUNT_SECONDS = 5.0
"""Time after which the cores of the cluster are counted again: nodes come and go."""


class Engine(Protocol):
    """Runs jobs as ``run_jobs`` does: same arguments, outcomes and errors."""

    def __call__(
        self,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        workers: int,
        seconds: float | Callable[[Job], float],
        /,
    ) -> Iterator[Outcome[Job]]:
        """Run all jobs, at most ``workers`` at once, and yield outcomes as they come."""


@frozen
class RayEngine:
    """Implements ``Engine`` with a Ray cluster whose nodes have this vimix and the same folders.

    ``workers = 0`` uses all cores of the cluster. A job whose node is lost runs again, and fails when it has lost two.
    """

    address: str = ""
    """Address of the cluster; empty: that of RAY_ADDRESS, or a cluster that runs on this machine, else a new one."""

    def __call__(
        self,
        work: Callable[[Job], Any],
        jobs: Sequence[Job],
        workers: int,
        seconds: float | Callable[[Job], float],
        /,
    ) -> Iterator[Outcome[Job]]:
        """Run all jobs, at most ``workers`` at once, and yield outcomes as they come.

        Raises VimixError if Ray is not installed or the cluster cannot be reached, or a node has another version of
        vimix or lacks the working folder; and what ``run_jobs`` raises.
        """
        if not jobs:
            return
        with _cluster(self.address) as ray:
            run = partial(_run, work=work, here=_Here(Path.cwd(), version("vimix-ssl")))
            task = ray.remote(num_cpus=1, max_retries=CHANCES - 1)(run_task)
            waiting, running = list(reversed(jobs)), dict[Any, Job]()
            try:
                while waiting or running:
                    while waiting and len(running) < (workers or TASKS_A_CORE * _cores(ray)):
                        job = waiting.pop()
                        running[task.remote(run, job, seconds(job) if callable(seconds) else seconds)] = job
                    done, _ = ray.wait(list(running), timeout=RECOUNT_SECONDS)
                    for reference in done:
                        yield _outcome(ray, reference, running.pop(reference))
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)


@frozen
class _Here:
    """Facts about the process that gives out the jobs, which every node must share."""

    folder: Path
    version: str


def run_task(run: Callable[[Any, float], Any], job: Any, seconds: float) -> Any:
    """Run a job: the code of a task. A module-level function, so that nodes import it and it is not sent as code."""
    return run(job, seconds)


def _run(job: Job, seconds: float, work: Callable[[Job], Any], here: _Here) -> Outcome[Job] | VimixError:
    """Run the job in a worker process of this node; returns the error that ends all work."""
    node = os.uname().nodename
    if (found := version("vimix-ssl")) != here.version:
        return VimixError(f"node {node} has vimix {found}, expected {here.version}: install that on every node")
    try:
        os.chdir(here.folder)
    except OSError as error:
        return VimixError(
            f"node {node} cannot enter {here.folder} ({error.strerror}): every node needs the same folders"
        )
    try:
        (outcome,) = run_jobs(work, [job], 1, seconds)
    except VimixError as error:
        return error
    return outcome


def _outcome(ray: Any, reference: Any, job: Job) -> Outcome[Job]:
    """Return the outcome of a task that has ended. Raises the error that ends all work."""
    try:
        result: Outcome[Job] | VimixError = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise VimixError(f"a task failed on its node: {str(error).strip().splitlines()[-1]}") from error
    except ray.exceptions.RayError as error:
        why = " ".join(str(error).split())[:200]
        return Outcome(job, f"its node or its memory was lost {CHANCES} times ({why})", passing=True)
    if isinstance(result, VimixError):
        raise result
    return evolve(result, job=job)


def _cores(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


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
            warnings.simplefilter("ignore", FutureWarning)  # about GPUs, which these tasks do not ask for
            ray.init(address=address or None, log_to_driver=False, logging_level="error")
    except Exception as error:  # Ray raises bare exceptions too
        raise VimixError(
            f"no Ray cluster {where} can be used ({' '.join(str(error).split())[:200]}): check --address, or start one "
            "with ray start --head"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
