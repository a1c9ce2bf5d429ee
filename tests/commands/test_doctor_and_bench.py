"""``vimix doctor`` names what is missing and how to mend it; ``vimix bench-data`` whether training would wait."""

import importlib
import json
import re
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.builders import hdf5, skeleton_store
from tests.cli import TINY, printed, vimix
from tests.fakes.store import FakeVideoStore
from vimix.values.errors import VimixError
from vimix_adapters.commands import doctor
from vimix_adapters.commands.bench_data import Rate, Step, advice
from vimix_adapters.commands.doctor import diagnose, healthy
from vimix_adapters.flow import opencv

Usage = namedtuple("Usage", "total used free")


def found(findings, name):
    return next(finding for finding in findings if finding.name == name)


def test_here_where_the_tests_run_the_main_job_can_run(capsys) -> None:
    told = json.loads(printed(capsys, "doctor", "--json"))
    assert told["ok"]
    names = {finding["name"] for finding in told["findings"]}
    assert {"torch", "av", "faiss-cpu", "cpu features", "precision", "h264", "av1", "self-check", "tvl1"} <= names
    assert {"cores", "free disk"} <= names
    shown = printed(capsys, "doctor")
    assert "the main commands can run" in shown
    assert "[green]" not in shown, "no markup is printed as it is"


@pytest.mark.parametrize(("name", "version", "bound"), [("faiss-cpu", None, "1.9"), ("torch", "2.1.0", "2.11")])
def test_a_missing_or_old_library_is_named_with_the_command_that_mends_it(
    monkeypatch, capsys, name, version, bound
) -> None:
    real = metadata.version

    def pretended(distribution: str) -> str:
        if distribution != name:
            return real(distribution)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor.metadata, "version", pretended)
    assert vimix("doctor", "--json") == 1
    told = next(f for f in json.loads(capsys.readouterr().out)["findings"] if f["name"] == name)
    assert (told["verdict"], told["mend"]) == ("broken", f"pip install '{name}>={bound}'")


@pytest.mark.parametrize(
    ("release", "name", "unsound"),
    [
        (None, "none", False),
        (8907, "8907", False),
        (90701, "9.7.1", False),
        (90800, "9.8.0", True),
        (91002, "9.10.2", True),
        (91401, "9.14.1", True),
        (91500, "9.15.0", False),
        (92100, "9.21.0", False),
    ],
)
def test_a_cudnn_with_unsound_convolutions_over_three_axes_is_named(monkeypatch, release, name, unsound) -> None:
    card = SimpleNamespace(name="a card", total_memory=2**34, major=9, minor=0)
    for function, answer in (("is_available", True), ("device_count", 1), ("is_bf16_supported", True)):
        monkeypatch.setattr(torch.cuda, function, lambda answer=answer, **_: answer)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: release)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    told = found(diagnose(Path.cwd()), "cudnn")
    assert told.value.partition(":")[0] == name
    assert told.verdict == ("note" if unsound else "ok")
    assert told.mend.startswith("pip install 'nvidia-cudnn-cu13>=9.15'") == unsound


def test_a_probe_that_fails_does_not_hide_the_others(monkeypatch) -> None:
    def fails():
        raise RuntimeError("driver mismatch")
        yield

    monkeypatch.setattr(doctor, "_devices", fails)
    findings = diagnose(Path.cwd())
    assert found(findings, "probe").value == "RuntimeError: driver mismatch"
    assert not healthy(findings)
    assert found(findings, "tvl1").verdict == "ok"


def test_an_opencv_without_tvl1_little_memory_and_little_disk_are_told(monkeypatch) -> None:
    def absent(_):
        raise VimixError("this OpenCV has no TV-L1: pip install opencv-contrib-python-headless; or choose --flow dis")

    monkeypatch.setattr(opencv, "create_tvl1", absent)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(64 * 2**20, 0, 2**30))
    findings = diagnose(Path.cwd())
    assert found(findings, "tvl1").mend.startswith("pip install opencv-contrib-python-headless")
    assert "--shm-size" in found(findings, "shared memory").mend
    assert found(findings, "free disk").verdict == "note"


def test_a_library_that_does_not_import_is_a_finding_that_is_printed_as_it_is(monkeypatch, capsys) -> None:
    real = importlib.import_module

    def broken(name: str, package: str | None = None):
        if name == "cv2":
            raise ImportError("[red] is missing")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    told = found(diagnose(Path.cwd()), "opencv-contrib-python-headless")
    assert (told.verdict, told.mend.startswith("pip install --force-reinstall")) == ("broken", True)
    capsys.readouterr()
    assert vimix("doctor") == 1
    shown = capsys.readouterr().out
    assert not re.search(r"\[/|\\\[|\[(green|yellow)\]", shown), "neither markup of our own nor escaped brackets"
    assert "does not import: [red] is missing" in shown
    assert "│ broken │" in shown


def test_the_doctor_colours_its_verdicts_on_a_terminal(monkeypatch, capsys) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32mok" in printed(capsys, "doctor")


# --- bench-data

STREAMS = """
name = "streams"
[data]
store = "elsewhere.h5"
frames = 4
workers = 0
[optim]
batch = 2
[contrast]
queue = 4
bn_groups = 1
[run]
precision = "float32"
[modalities.motion]
encoder = "stgcn"
stgcn = { hidden_channels = 2, feature_size = 4 }
[modalities.bone]
encoder = "stgcn"
stgcn = { hidden_channels = 2, feature_size = 4 }
[arms.vimix]
about = "Vi-Mix"
stages = [{ pretrain = "motion" }, { pretrain = "bone" }, { cmmc = "motion", partner = "bone" }]
"""
"""Streams of skeletons, neither of which is stored."""


@pytest.fixture
def store(tmp_path) -> Path:
    hdf5(tmp_path, "jpeg", FakeVideoStore(count=8, length=12))
    return tmp_path / "store.h5"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_store_is_measured_by_number_of_workers(store, capsys) -> None:
    options = ["--frames", 4, "--size", 12, "--batch", 4, "--workers", "0,1", "--seconds", 0.3]
    told = json.loads(printed(capsys, "bench-data", store, *options, "--json"))
    assert [rate["workers"] for rate in told["rates"]] == [0, 1]
    assert (told["views"], told["split"], told["steps"]) == ({"rgb": 2}, "train", [])
    for rate in told["rates"]:
        # 2 views of 4 frames of 6 × 8 pixels in 3 channels
        assert rate["megabytes"] == pytest.approx(rate["clips"] * 2 * 4 * 6 * 8 * 3 / 1e6)
        assert rate["clips"] > 0
        assert rate["first"] > 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_recipes_steps_are_held_against_it(store, tmp_path, capsys) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.format(store="elsewhere.h5"))
    command = ["bench-data", store, "--recipe", tmp_path / "tiny.toml", "--workers", "0", "--seconds", 0.3]
    told = json.loads(printed(capsys, *command, "--device", "cpu", "--json"))
    assert told["views"] == {"rgb": 2, "flow": 1}, "the stage that reads most"
    names = {step["stage"] for step in told["steps"]}
    assert names == {"pretrain-rgb", "pretrain-flow", "cmmc-rgb-from-flow", "cmmc-flow-from-rgb"}
    assert all(step["clips"] > 0 for step in told["steps"])
    assert told["advice"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_store_of_skeletons_is_measured_with_and_without_a_recipe(tmp_path, capsys) -> None:
    """Motion and bone are made from joint, which alone is stored; a view reads the whole sequence."""
    store, sequence = skeleton_store(tmp_path, 6, tests=2), 16 * 25 * 2 * 3 * 4
    (tmp_path / "streams.toml").write_text(STREAMS, encoding="utf-8")
    options = ["--batch", 2, "--frames", 4, "--modality", "motion"]
    for asked, views in ((options, {"motion": 2}), (["--recipe", tmp_path / "streams.toml"], {"motion": 2, "bone": 1})):
        command = ["bench-data", store, *asked, "--workers", "0", "--seconds", 0.2, "--device", "cpu"]
        told = json.loads(printed(capsys, *command, "--json"))
        assert (told["views"], told["frames"]) == (views, 16)
        (rate,) = told["rates"]
        assert rate["megabytes"] == pytest.approx(rate["clips"] * sum(views.values()) * sequence / 1e6)
    assert {step["stage"] for step in told["steps"]} == {"pretrain-motion", "pretrain-bone", "cmmc-motion-from-bone"}
    assert "2 × motion, 1 × bone, 16 frames, batch 2," in " ".join(printed(capsys, *command).split())


def test_a_store_that_keeps_up_is_told_the_least_workers_that_do() -> None:
    rates = [Rate(0, 50, 1, 1), Rate(2, 120, 1, 1), Rate(4, 200, 1, 1)]
    (line,) = advice(rates, [Step("slow", 20), Step("fast", 100)], 128, 112, "jpeg", 8)
    assert "data.workers = 2 keeps up" in line


@pytest.mark.parametrize(
    ("side", "codec", "cores", "told", "untold"),
    [
        (256, "jpeg", 16, ["try --workers 15", "--codec raw", "--short-side 129"], []),
        (128, "raw", 4, ["a faster disk"], ["--codec", "--short-side", "more workers"]),
    ],
)
def test_what_would_help_a_step_that_waits_is_named(side, codec, cores, told, untold) -> None:
    text = "\n".join(advice([Rate(0, 10, 1, 1), Rate(4, 40, 1, 1)], [Step("s", 100)], side, 112, codec, cores))
    assert "would wait: at most 40.0 are read" in text
    assert all(word in text for word in told)
    assert not any(word in text for word in untold)
