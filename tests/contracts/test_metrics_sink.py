"""What every metrics sink must do."""

import io
from importlib.util import find_spec

import pytest
from rich.console import Console

from tests.fakes.metrics import FakeMetrics
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.multi_sink import MultiSink
from vimix_adapters.metrics.progress_bar import ProgressMetrics
from vimix_adapters.metrics.tensorboard import TensorBoardMetrics
from vimix_adapters.metrics.tracked import build_mlflow, build_wandb

ROW = {"loss": 1.5, "pretext_accuracy": 0.25, "clips_per_second": 80.0}


def bar(_):
    return ProgressMetrics(40, "stage", Console(file=io.StringIO(), force_terminal=True))


def lines(_):
    return ProgressMetrics(40, "stage", Console(file=io.StringIO()))


SINKS = {
    "fake": lambda _: FakeMetrics(),
    "jsonl": lambda folder: JsonlMetrics(folder / "a" / "metrics.jsonl"),
    "tensorboard": lambda folder: TensorBoardMetrics(folder / "tb"),
    "bar": bar,
    "lines": lines,
    "wandb": lambda folder: build_wandb(folder, "tests", {"seed": 0}),
    "mlflow": lambda folder: build_mlflow(folder, "tests", {"seed": 0}),
    "multi": lambda folder: MultiSink([FakeMetrics(), JsonlMetrics(folder / "m.jsonl"), lines(folder)]),
}
TRACKERS = ("wandb", "mlflow")
every_sink = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in TRACKERS else []) for name in SINKS]
)
"""Importing a tracker takes seconds."""


@pytest.fixture(autouse=True)
def of_a_package_that_is_here(name, offline_tracking) -> None:
    if name in TRACKERS and find_spec(name) is None:
        pytest.skip(f"the extra [{name}] is not installed")


@every_sink
def test_a_sink_takes_rows_rewinds_goes_on_and_closes(name, tmp_path) -> None:
    sink = SINKS[name](tmp_path)
    for step in (10, 20, 30):
        sink.record(step, ROW)
    sink.rewind(20)
    sink.record(30, ROW)
    sink.record(40, ROW)
    sink.close()
    sink.close()


@every_sink
def test_a_sink_may_be_closed_before_it_was_used(name, tmp_path) -> None:
    SINKS[name](tmp_path).close()
