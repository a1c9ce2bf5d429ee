"""Jobs in worker processes under a progress bar with rate and time left."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vimix_adapters.prepare.worker_pool import Outcome, run_jobs

Job = TypeVar("Job")


def run_shown(
    title: str,
    unit: str,
    work: Callable[[Job], None],
    jobs: Sequence[Job],
    workers: int,
    seconds: float | Callable[[Job], float],
    console: Console,
    size: Callable[[Job], int] = lambda _: 1,
) -> list[Outcome[Job]]:
    """Do all jobs as ``run_jobs``; the bar counts ``size`` in ``unit``. Returns the outcomes that have a reason."""
    failed = []
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=sum(map(size, jobs)), rate="")
        for outcome in run_jobs(work, jobs, workers, seconds):
            if outcome.reason is not None:
                failed.append(outcome)
            progress.update(task, advance=size(outcome.job), rate=_rate(progress, task, unit))
    return failed


def _rate(progress: Progress, task: TaskID, unit: str) -> str:
    speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
    return f"{speed:.1f} {unit}/s" if speed else ""
