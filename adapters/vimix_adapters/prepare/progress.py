"""A progress bar with rate, time left and slow jobs, and jobs in worker processes under it."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, TypeVar

from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vimix_adapters.prepare.engines import Engine
from vimix_adapters.prepare.worker_pool import Outcome

Job = TypeVar("Job")

SLOW = 3.0
"""A job is slow when it has run this many times as long as the median of the last jobs, and at least SLOW_SECONDS."""
SLOW_SECONDS = 10.0


@contextmanager
def progress_bar(title: str, unit: str, console: Console, note: object = "") -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a bar; the rate leaves out what is done at the first call.

    ``note`` is turned into text each time the bar is drawn.
    """
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    last = TextColumn("{task.fields[note]}", markup=False)
    with Progress(*columns, TimeRemainingColumn(), last, console=console) as progress:

        def show(done: int, total: int) -> None:
            if not progress.tasks:
                progress.add_task("", total=total, completed=done, rate="", note=note)
            (task,) = progress.tasks
            progress.update(task.id, completed=done)
            speed = task.finished_speed or task.speed
            progress.update(task.id, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield show


@define(eq=False)
class SlowJobs:
    """The jobs that run; as text, the slowest of those that take much longer than the last ones did, and its time."""

    name: Callable[[Any], str]
    clock: Callable[[], float] = time.monotonic
    _running: dict[int, tuple[Any, float]] = field(init=False, factory=dict)
    _took: deque[float] = field(init=False, factory=lambda: deque(maxlen=100))

    def started(self, job: Any) -> None:
        """Begin to measure a job; one that is started again begins anew."""
        self._running[id(job)] = (job, self.clock())

    def ended(self, job: Any) -> None:
        """Take the time of a job that has ended; one object that is several jobs at once is timed once."""
        if (running := self._running.pop(id(job), None)) is not None:
            self._took.append(self.clock() - running[1])

    def __str__(self) -> str:
        limit = max(SLOW_SECONDS, SLOW * median(self._took)) if self._took else float("inf")
        now, running = self.clock(), list(self._running.values())  # copied: the bar is drawn by another thread
        slow = sorted(((now - begun, job) for job, begun in running if now - begun > limit), key=lambda pair: -pair[0])
        if not slow:
            return ""
        seconds, job = slow[0]
        more = f" and {len(slow) - 1} more" if len(slow) > 1 else ""
        return f"slowest: {self.name(job)}, {f'{seconds / 60:.0f} min' if seconds >= 120 else f'{seconds:.0f} s'}{more}"


def run_shown(
    title: str,
    unit: str,
    engine: Engine,
    work: Callable[[Job], Any],
    jobs: Sequence[Job],
    seconds: float | Callable[[Job], float],
    console: Console,
    *,
    name: Callable[[Job], str],
    size: Callable[[Job], int],
) -> list[Outcome[Job]]:
    """Run all jobs with the ``engine``, under a bar that counts ``size`` of each job in ``unit`` and names slow jobs.

    Returns the outcomes of the jobs that failed. Raises what the engine raises.
    """
    failed, done, total, slow = [], 0, sum(map(size, jobs)), SlowJobs(name)
    with progress_bar(title, unit, console, slow) as show:
        show(done, total)
        for outcome in engine(work, jobs, seconds, slow.started):
            slow.ended(outcome.job)
            if outcome.reason is not None:
                failed.append(outcome)
            done += size(outcome.job)
            show(done, total)
    return failed
