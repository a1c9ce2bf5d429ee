"""``python -m tests.distributed.ranks MODULE.SCENARIO FOLDER SIZE``: real processes that join over gloo.

torch is imported once, then the ranks are forked. Each writes what its scenario returns to ``FOLDER/RANK.pt``.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from vimix.values.errors import VimixError
from vimix_adapters.distributed.torch_process_group import join_process_group

ROOT = Path(__file__).parents[2]


def launch(scenario: str, folder: Path, size: int = 2, limit: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a scenario and wait for all ranks; the exit code is that of the first to end with another than 0."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.distributed.ranks", scenario, str(folder), str(size)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)


def results(folder: Path, size: int = 2) -> list[Any]:
    """Values that the ranks returned, in order of rank."""
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


@cache
def two_together() -> list[Any]:
    """What two processes found in the scenario ``together``, launched once."""
    with tempfile.TemporaryDirectory() as folder:
        done = launch("scenarios.together", Path(folder), limit=180)
        assert done.returncode == 0, done.stderr
        return results(Path(folder))


def _rank(scenario: Callable[[Any, Path], Any], folder: Path, rank: int) -> int:
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    try:
        if getattr(scenario, "joins", False):
            found = scenario(None, folder)
        else:
            with join_process_group(torch.device("cpu"), timeout=float(os.environ.get("GROUP_TIMEOUT", "30"))) as group:
                found = scenario(group, folder)
    except VimixError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    torch.save(found, folder / f"{rank}.pt")
    return 0


def main() -> int:
    torch.set_num_threads(1)
    module, name = sys.argv[1].split(".")
    scenario = getattr(import_module(f"tests.distributed.{module}"), name)
    folder, size = Path(sys.argv[2]), int(sys.argv[3])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(size))
    children = []
    for rank in range(size):
        if (child := os.fork()) == 0:
            os._exit(_rank(scenario, folder, rank))
        children.append(child)
    return _watched(children)


def _watched(children: list[int]) -> int:
    """As torchrun does, but without killing the others: they must find out by themselves."""
    codes = []
    for _ in children:
        child, status = os.wait()
        codes.append(os.waitstatus_to_exitcode(status))
        print(f"rank {children.index(child)} ended with {codes[-1]} at {time.monotonic():.2f}", flush=True)
    return next((code if code > 0 else 128 - code for code in codes if code), 0)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
