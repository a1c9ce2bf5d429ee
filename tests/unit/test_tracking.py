"""Rows in services that track experiments: each step once, and one run for a stage, however often it is resumed."""

import json
import struct
import time

import pytest
from structlog.testing import capture_logs

from vimix.values.errors import VimixError
from vimix_adapters.metrics.tracked import TrackedMetrics, build_mlflow, build_wandb


class FakeTracker:
    """A service in memory; ``down`` makes it refuse."""

    def __init__(self) -> None:
        self.runs: dict[str, list[int]] = {}
        self.down = False
        self.ended = 0

    def begin(self, run):
        self._answer()
        self.run = run or f"run-{len(self.runs)}"
        self.runs.setdefault(self.run, [])
        return self.run

    def log(self, step, values):
        self._answer()
        self.runs[self.run].append(step)

    def end(self):
        self.ended += 1
        self._answer()

    def _answer(self):
        if self.down:
            raise ConnectionError("no route\nto host")


def trained(sink, begin: int, end: int) -> None:
    """A training from step ``begin`` to step ``end``, with a row every 10 steps."""
    sink.rewind(begin)
    for step in range(begin + 10, end + 1, 10):
        sink.record(step, {"loss": step / 10})
    sink.close()


def test_a_resumed_stage_continues_its_run_and_one_that_begins_again_begins_another(
    tmp_path,
) -> None:
    service = FakeTracker()
    for begin, end in ((0, 40), (20, 60)):
        trained(TrackedMetrics(tmp_path / "wandb.json", service), begin, end)
    assert service.runs == {"run-0": [10, 20, 30, 40, 50, 60]}
    assert json.loads((tmp_path / "wandb.json").read_text()) == {"run": "run-0", "step": 60}
    trained(TrackedMetrics(tmp_path / "wandb.json", service), 0, 20)
    assert service.runs == {"run-0": [10, 20, 30, 40, 50, 60], "run-1": [10, 20]}


def test_a_service_that_goes_down_warns_once_and_training_goes_on(tmp_path) -> None:
    service = FakeTracker()
    sink = TrackedMetrics(tmp_path / "wandb.json", service)
    sink.record(10, {"loss": 1.0})
    service.down = True
    with capture_logs() as logs:
        for step in (20, 30):
            sink.record(step, {"loss": 1.0})
        sink.close()
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("tracking.stopped", "no route to host"),
        ("tracking.not_ended", "no route to host"),
    ]
    service.down = False
    trained(TrackedMetrics(tmp_path / "wandb.json", service), 10, 30)
    assert service.runs == {"run-0": [10, 20, 30]}


def test_a_service_that_begins_no_run_is_one_line_that_names_the_key(tmp_path) -> None:
    service = FakeTracker()
    service.down = True
    with pytest.raises(VimixError, match=r"^run\.metrics: wandb does not begin a run: no route to host; or remove"):
        TrackedMetrics(tmp_path / "wandb.json", service).record(10, {})


@pytest.mark.parametrize("text", ["{", "[]", '{"run": 3, "step": 1}', '{"run": "a"}'])
def test_a_damaged_file_of_the_run_is_one_line_that_says_what_to_do(tmp_path, text) -> None:
    (tmp_path / "wandb.json").write_text(text)
    with pytest.raises(VimixError, match=r"wandb\.json: expected an object .*remove the file to begin another run"):
        TrackedMetrics(tmp_path / "wandb.json", FakeTracker()).record(10, {})


@pytest.mark.slow
def test_mlflow_holds_each_step_once_and_the_settings(tmp_path, offline_tracking) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    settings = {"optim": {"lr": 0.5}, "long": "x" * 9000, **{f"key{number}": number for number in range(120)}}
    trained(build_mlflow(tmp_path / "run" / "arm" / "1-stage", "recipe", settings), 0, 40)
    trained(build_mlflow(tmp_path / "run" / "arm" / "1-stage", "recipe", settings), 20, 60)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("recipe").experiment_id])
    rows = client.get_metric_history(run.info.run_id, "loss")
    assert [(row.step, row.value) for row in rows] == [(step, step / 10) for step in range(10, 61, 10)]
    assert (run.info.run_name, run.info.status) == ("run/arm/1-stage", "FINISHED")
    assert run.data.params["optim.lr"] == "0.5"
    assert len(run.data.params) == 122


@pytest.mark.slow
def test_wandb_writes_each_step_once_to_files_of_one_run(tmp_path, offline_tracking) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    folder = tmp_path / "run" / "arm" / "1-stage"
    trained(build_wandb(folder, "recipe", {"optim": {"lr": 0.5}}), 0, 40)
    time.sleep(1)  # the package names its folders by the second
    first = set(folder.glob("wandb/offline-run-*/*.wandb"))
    trained(build_wandb(folder, "recipe", {"optim": {"lr": 0.5}}), 20, 60)
    wandb.teardown()  # as at the end of a process: waits until the files are whole
    (before,), (after,) = first, set(folder.glob("wandb/offline-run-*/*.wandb")) - first
    kept = json.loads((folder / "wandb.json").read_text())
    assert before.name == after.name == f"run-{kept['run']}.wandb"
    assert (recorded(before), recorded(after)) == ([10, 20, 30, 40], [50, 60])


def recorded(file) -> list[int]:
    """The steps of a small offline file of Weights & Biases: 7 bytes, then records of checksum, length, type, data."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, steps = file.read_bytes(), 7, []
    while place < len(content):
        _, length, _ = struct.unpack_from("<IHB", content, place)
        record = Record.FromString(content[place + 7 : place + 7 + length])
        steps += [record.history.step.num] if record.HasField("history") else []
        place += 7 + length
    return steps
