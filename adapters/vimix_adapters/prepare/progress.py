"""A progress bar with rate and time left, and jobs in worker processes under it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vimix_adapters.prepare.engines import Engine
from vimix_adapters.prepare.worker_pool import Outcome, run_jobs

Job = TypeVar("Job")


@contextmanager
def progress_bar(title: str, unit: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a bar; the rate leaves out what is done at the first call."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:

        def show(done: int, total: int) -> None:
            if not progress.tasks:
                progress.add_task("", total=total, completed=done, rate="")
            (task,) = progress.tasks
            progress.update(task.id, completed=done)
            speed = task.finished_speed or task.speed
            progress.update(task.id, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield show


def run_shown(
    title: str,
    unit: str,
    work: Callable[[Job], Any],
    jobs: Sequence[Job],
    workers: int,
    seconds: float | Callable[[Job], float],
    console: Console,
    size: Callable[[Job], int] = lambda _: 1,
    engine: Engine = run_jobs,
) -> list[Outcome[Job]]:
    """Run all jobs with the ``engine``, under a bar that counts ``size`` of each job in ``unit``.

    Returns the outcomes of the jobs that failed. Raises what the engine raises.
    """
    failed, done, total = [], 0, sum(map(size, jobs))
    with progress_bar(title, unit, console) as show:
        show(done, total)
        for outcome in engine(work, jobs, workers, seconds):
            if outcome.reason is not None:
                failed.append(outcome)
            done += size(outcome.job)
            show(done, total)
    return failed
