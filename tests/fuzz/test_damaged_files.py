"""A damaged store, list, skeleton file or video gives a result or a VimixError: never a traceback, never the end.

``make test`` tries each kind a few times. ``make fuzz`` goes on with other damage for some minutes (``MINUTES=10``). A
finding names kind and seed: ``attempt(Attempt(kind, seed))`` of ``tests/fuzz/kinds.py`` repeats it.
"""

import itertools
import time

import pytest

from tests.fuzz.kinds import IN_A_LIBRARY, KINDS, Attempt, attempt
from vimix_adapters.prepare.worker_pool import Outcome, run_jobs

SECONDS = 20.0
"""Time limit of an attempt."""
AT_ONCE = 400


def is_finding(outcome: Outcome[Attempt]) -> bool:
    """Whether an attempt ended in another way than promised."""
    killed = outcome.hung or str(outcome.reason).startswith("the decoder died")
    return outcome.reason is not None and not (killed and outcome.job.kind in IN_A_LIBRARY)


def findings(attempts: list[Attempt], workers: int) -> list[str]:
    outcomes = run_jobs(attempt, attempts, workers, SECONDS)
    return [f"{outcome.job}: {outcome.reason}" for outcome in outcomes if is_finding(outcome)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_damaged_file_is_a_result_or_one_line() -> None:
    assert findings([Attempt(kind, seed) for seed in range(20) for kind in KINDS], 1) == []


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_damaged_files_for_minutes(request) -> None:
    began, tried, found = time.time(), 0, []
    numbers = itertools.count(int(began))
    while time.time() - began < 60 * request.config.getoption("--fuzz-minutes") and not found:
        batch = [Attempt(kind, next(numbers)) for _ in range(AT_ONCE // len(KINDS)) for kind in KINDS]
        found += findings(batch, 2)
        tried += len(batch)
    assert found == [], f"after {tried} damaged files"
