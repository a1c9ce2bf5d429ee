"""The progress bar names jobs that take much longer than others."""

import io
import time

import pytest
from rich.console import Console

from vimix_adapters.prepare import progress
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.progress import SlowJobs, run_shown


def test_the_slowest_job_is_named_when_it_takes_three_times_the_median() -> None:
    now = 0.0
    slow = SlowJobs(str.upper, lambda: now)
    for job in ("a", "b", "c", "x", "y"):
        slow.started(job)
    now = 100.0
    assert str(slow) == ""  # no job has ended: nothing to compare with
    for job in ("a", "b", "c"):
        slow.ended(job)
    now = 300.0
    slow.started("late")
    assert str(slow) == ""
    now = 301.0
    assert str(slow) == "slowest: X, 5 min and 1 more"
    slow.started("x")  # its worker died: it begins anew
    assert str(slow) == "slowest: Y, 5 min"


def test_short_jobs_are_not_called_slow() -> None:
    now = 0.0
    slow = SlowJobs(str, lambda: now)
    for job in ("a", "b"):
        slow.started(job)
    now = 0.1
    slow.ended("a")
    now = 10.0
    assert str(slow) == ""
    now = 10.5
    assert str(slow) == "slowest: b, 10 s"


def test_one_object_may_be_several_jobs_at_once() -> None:
    slow = SlowJobs(str, lambda: 0.0)
    slow.started("a")
    slow.started("a")
    slow.ended("a")
    slow.ended("a")
    assert str(slow) == ""


@pytest.mark.slow
def test_the_bar_shows_the_slow_job_while_it_runs(monkeypatch) -> None:
    monkeypatch.setattr(progress, "SLOW_SECONDS", 0.2)
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=200)
    nothing = 0.0
    jobs = [nothing, nothing, nothing, 1.0]  # one object three times
    assert not run_shown(
        "waiting", "s", LocalEngine(2), time.sleep, jobs, 60.0, console, name="job [{}]".format, size=lambda _: 1
    )
    assert "slowest: job [1.0], 0 s" in drawn.getvalue()
