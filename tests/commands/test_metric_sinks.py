"""A recipe names where the metrics of its trainings go."""

import importlib.util
import json
from pathlib import Path

import pytest

from tests.cli import refused, vimix
from tests.fakes.metrics import FakeMetrics
from vimix_adapters import config


def pretrain(place: Path, out: Path, *more: object) -> int:
    """Train RGB in ``out``; the exit code."""
    return vimix("pretrain", place / "r.toml", "--modality", "rgb", "--out", out, "--device", "cpu", *more)


@pytest.mark.slow
def test_mlflow_shows_a_stage_that_gets_more_epochs_as_one_run(killed_place, tmp_path, offline_tracking) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    chosen = ("--set", 'run.metrics=["mlflow"]')
    assert pretrain(killed_place, tmp_path / "out", *chosen) == 0
    assert pretrain(killed_place, tmp_path / "out", *chosen, "--resume", "--set", "pretrain.epochs=3") == 0
    stage = tmp_path / "out" / "pretrain-rgb"
    assert not (stage / "tensorboard").exists()
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    written = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    sent = client.get_metric_history(run.info.run_id, "loss")
    assert [(row.step, row.value) for row in sent] == [(row["step"], row["loss"]) for row in written]
    assert run.data.params["contrast.queue"] == "10"
    assert run.data.params["stage.epochs"] == "2"


@pytest.mark.slow
def test_a_program_registers_a_sink_of_its_own(killed_place, tmp_path, monkeypatch) -> None:
    built: list[tuple[Path, str]] = []
    sink = FakeMetrics()

    def build(folder, project, settings):
        built.append((folder, project))
        return sink

    monkeypatch.setitem(config.SINKS, "ours", None)
    config.register_sink(config.SinkEntry("ours", build))
    assert pretrain(killed_place, tmp_path / "out", "--set", 'run.metrics=["ours", "tensorboard", "ours"]') == 0
    assert built == [(tmp_path / "out" / "pretrain-rgb", "killed")]
    written = [json.loads(line) for line in (tmp_path / "out/pretrain-rgb/metrics.jsonl").read_text().splitlines()]
    assert sink.rows == written
    assert (tmp_path / "out/pretrain-rgb/tensorboard").is_dir()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_that_names_the_extra(killed_place, tmp_path, monkeypatch, capsys, name) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "vimix_adapters.wiring.metrics_sinks.find_spec", lambda package: None if package == name else find(package)
    )
    for command in (["run"], ["pretrain", "--modality", "rgb"]):
        chosen = ["--out", tmp_path / "out", "--device", "cpu", "--set", f'run.metrics=["tensorboard", "{name}"]']
        told = refused(capsys, command[0], killed_place / "r.toml", *command[1:], *chosen)
        assert f"run.metrics: {name} is not installed; install the extra: pip install 'vimix-ssl[{name}]'" in told
    assert not (tmp_path / "out").exists()


def test_an_unknown_sink_is_one_line_that_names_the_known_ones(killed_place, tmp_path, capsys) -> None:
    assert pretrain(killed_place, tmp_path / "out", "--set", 'run.metrics=["wanbd"]') == 2
    told = capsys.readouterr().err
    assert "run.metrics" in told
    assert "expected one of 'tensorboard', 'wandb', 'mlflow', got 'wanbd' (did you mean 'wandb'?)" in told
