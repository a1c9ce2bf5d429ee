"""A run that is killed at any moment, and called again, ends as if it had never been broken."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(720)]  # fifteen processes start: a slow machine takes minutes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """``unbroken`` and ``killed``; ``kills.txt`` says at what."""
    folder = tmp_path_factory.mktemp("killing")
    command = [sys.executable, "-m", "tests.e2e.killing", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=700)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "kills.txt").write_text(done.stdout + done.stderr)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    kept = (path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def timeless(content: bytes) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in content.decode().splitlines()]
    return [
        {name: value for name, value in row.items() if name not in ("clips_per_second", "data_time")} for row in rows
    ]


def test_ten_kills_hit_steps_and_all_kinds_of_writing(place) -> None:
    kills = [line for line in (place / "kills.txt").read_text().splitlines() if line.startswith("SIGKILL: ")]
    assert len(kills) == 10
    aimed = {"half a checkpoint", "second name", "new name", "half a row", "updated"}
    assert aimed <= {kill.removeprefix("SIGKILL: ") for kill in kills}


def test_a_warning_of_the_cluster_is_answered_by_saving_and_code_75(place) -> None:
    """The driver expects the code; the run goes on from the step it was in."""
    printed = (place / "kills.txt").read_text()
    assert "SIGUSR1: updated" in printed
    assert "stopped by SIGUSR1: saved at step 1" in printed


def test_weights_queue_optimiser_and_results_are_those_of_the_unbroken_run_byte_for_byte(place) -> None:
    unbroken, killed = files(place / "unbroken"), files(place / "killed")
    assert unbroken.keys() == killed.keys()
    assert {"results.json", "vimix/3-cmmc-rgb-from-flow/last.pt", "vimix/1-pretrain-rgb/previous.pt"} < unbroken.keys()
    differing = [name for name, content in unbroken.items() if killed[name] != content]
    timed = ("metrics.jsonl", "report.html", "report.json")  # they hold clips a second
    assert [name for name in differing if not name.endswith(timed)] == []


def test_rows_of_metrics_are_those_of_the_unbroken_run_but_for_the_time(place) -> None:
    unbroken, killed = files(place / "unbroken"), files(place / "killed")
    for name in (name for name in unbroken if name.endswith("metrics.jsonl")):
        assert timeless(killed[name]) == timeless(unbroken[name])
        assert len(timeless(killed[name])) == 2
