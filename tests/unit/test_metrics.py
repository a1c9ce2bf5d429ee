"""Where metrics end up."""

import io
import json

import pytest
from rich.console import Console
from structlog.testing import capture_logs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.progress_bar import ProgressMetrics
from vimix_adapters.metrics.tensorboard import TensorBoardMetrics
from vimix_adapters.metrics.training_warnings import InputBoundHint


def rows(path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_lines_and_rewinding_drops_later_ones(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    sink = JsonlMetrics(path)
    for step in (10, 20, 30):
        sink.record(step, {"loss": step / 10})
    sink.rewind(20)
    sink.record(30, {"loss": 9.0})
    assert rows(path) == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": 9.0}]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 10, "loss": 1.0}\n{"step": 20, "lo')
    sink = JsonlMetrics(path)
    sink.record(20, {"loss": 2.0})
    assert rows(path) == [{"step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0}]


def test_tensorboard_shows_each_step_once_after_a_rewind(tmp_path) -> None:
    sink = TensorBoardMetrics(tmp_path)
    for step in (10, 20, 30):
        sink.record(step, {"loss": 1.0})
    sink.close()
    resumed = TensorBoardMetrics(tmp_path)
    resumed.rewind(20)
    resumed.record(30, {"loss": 7.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 1.0), (20, 1.0), (30, 7.0)]


def test_elsewhere_than_on_a_terminal_a_line_is_printed_every_ten_seconds() -> None:
    out, now = io.StringIO(), [0.0]
    sink = ProgressMetrics(100, "pretrain-rgb", Console(file=out, width=200), clock=lambda: now[0])
    for step in range(10, 101, 10):
        now[0] += 4.0
        sink.record(step, {"loss": 2.0, "pretext_accuracy": 0.5, "clips_per_second": 80.0})
    lines = out.getvalue().splitlines()
    assert lines[0] == "pretrain-rgb: 10/100 loss 2.000 accuracy 0.500 80 clips/s"
    assert lines[1] == "pretrain-rgb: 40/100 loss 2.000 accuracy 0.500 80 clips/s, 24 s left"
    assert lines[-1].startswith("pretrain-rgb: 100/100")
    assert len(lines) == 4


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_or_a_line_tells_how_far_the_training_is_and_a_title_in_brackets_is_no_markup(terminal) -> None:
    out = io.StringIO()
    sink = ProgressMetrics(10, "[red]:cat:", Console(file=out, force_terminal=terminal, width=120, no_color=True))
    sink.record(10, {"loss": 2.0, "pretext_accuracy": 0.5, "clips_per_second": 80.0})
    sink.close()
    for shown in ("[red]:cat:", "10/10", "accuracy 0.500"):
        assert shown in out.getvalue()


def test_a_training_that_waits_for_its_data_gets_one_warning() -> None:
    hint = InputBoundHint()
    with capture_logs() as logs:
        for step, share in enumerate((0.9, 0.9, 0.01, 0.5, 0.5)):
            hint.on_row(step, {"data_time": share})
        hint.on_row(5, {"loss": 1.0})
        assert logs == []
        for step in range(6, 20):
            hint.on_row(step, {"data_time": 0.5})
    assert [(line["event"], line["step"]) for line in logs] == [("training.input_bound", 8)]
    assert "data.workers" in logs[0]["hint"]
