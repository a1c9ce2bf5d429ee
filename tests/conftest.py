"""Tests run side by side, one thread each: the threads of two torch processes would wait for each other in loops."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import structlog
import torch
from hypothesis import settings

from vimix_adapters.prepare import worker_pool

torch.set_num_threads(1)
worker_pool.PRELOAD.append("vimix_adapters.prepare.flow_job")  # what all jobs need, once for all tests of a process

# The same examples everywhere, and no time limit an example: a busy machine is no mistake of the code.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("fast", settings.get_profile("steady"), max_examples=20)  # make test-fast
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of ``make fuzz``."""
    parser.addoption("--fuzz-minutes", type=float, default=0.0, help="minutes for the tests marked fuzz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked fuzz unless minutes are given."""
    if not config.getoption("--fuzz-minutes"):
        for item in items:
            if item.get_closest_marker("fuzz"):
                item.add_marker(pytest.mark.skip(reason="needs --fuzz-minutes (make fuzz)"))


@pytest.fixture(autouse=True)
def _log_of_this_test_only() -> Iterator[None]:
    """Commands configure the log for the stream of their moment, which a test that captures closes at its end."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def killed_place(tmp_path_factory) -> Path:
    """A store of sixteen videos and the recipe of ``tests/e2e/killing.py``; no test writes into this folder."""
    from tests.e2e.killing import make_place

    return make_place(tmp_path_factory.mktemp("killed"))


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 4 MiB, if mounting is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def offline_tracking(tmp_path, monkeypatch) -> None:
    """Let Weights & Biases and MLflow write into the folder of the test, and neither reach for the network."""
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
