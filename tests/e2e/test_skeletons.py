"""The command line from skeleton files to a table: SkeletonCLR and CMMC between joint, motion and bone."""

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from tests.builders import skeleton_store
from tests.cli import printed, refused, vimix
from tests.fakes.skeletons import write_walk
from tests.recipes import ROOT, shrunk
from vimix import load_encoder
from vimix.values.modality import JOINT
from vimix_adapters.clips.hdf5 import Hdf5VideoStore

DEVICE = ["--device", "cpu"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Skeleton files named as the synthetic data set names them, its list of videos, a store and a recipe."""
    folder = tmp_path_factory.mktemp("skeletons")
    skeleton_store(folder, 24, tests=8)
    table = shrunk(ROOT / "experiments/demo-skeleton.toml")
    table["data"]["store"] = str(folder / "s.h5")
    table["run"]["log_every"] = 1
    for kind in ("pretrain", "cmmc"):
        table[kind].update(epochs=1, milestones=[])
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    (folder / "pixels.toml").write_text(f"name = 'x'\n[data]\nstore = '{folder}/s.h5'\n[modalities.joint]\n")
    return folder


@pytest.fixture(scope="module")
def finished(place) -> Path:
    """A finished run of all arms."""
    assert vimix("run", place / "recipe.toml", "--out", place / "run", *DEVICE) == 0
    return place / "run"


@pytest.mark.slow
def test_a_run_trains_every_stream_against_the_partner_that_its_stage_names(finished) -> None:
    results = json.loads((finished / "results.json").read_text())
    rows = {(row["arm"], row["modality"]) for row in results["rows"]}
    assert {
        ("SkeletonCLR", "joint + motion"),
        ("Vi-Mix", "motion"),
        ("Vi-Mix, three streams", "joint + motion + bone"),
    } <= rows
    assert all({"R@1", "top-1"} <= row["scores"].keys() for row in results["rows"])
    assert results["about"]["protocol"]["skeletons"] == "whole sequences of 16 frames"
    assert "size" not in results["about"]["protocol"]
    assert (finished / "vimix3/6-cmmc-bone-from-joint/last.pt").exists()
    metrics = (finished / "vimix/3-cmmc-joint-from-motion/metrics.jsonl").read_text().splitlines()
    assert 0 < json.loads(metrics[-1])["weight"] < 1, "something was cut in"
    assert (finished / "retrieval.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["retrieval", "linear"])
def test_streams_are_evaluated_together(finished, place, task) -> None:
    out = place / f"{task}.json"
    checkpoints = [finished / "vimix/3-cmmc-joint-from-motion", finished / "vimix/4-cmmc-motion-from-joint"]
    assert vimix("evaluate", task, place / "recipe.toml", *checkpoints, "--out", out, *DEVICE) == 0
    record = json.loads(out.read_text())
    assert record["videos"] == {"train": 16, "test": 8}
    assert set(record["checkpoints"]) == {"joint", "motion"}


@pytest.mark.slow
def test_finetuning_and_stages_by_hand(finished, place) -> None:
    recipe, out = place / "recipe.toml", place / "hand"
    for modality in ("joint", "bone"):
        assert vimix("pretrain", recipe, "--modality", modality, "--out", out, *DEVICE) == 0
    inits = ["--init", out / "pretrain-bone", "--partner-init", out / "pretrain-joint"]
    command = ["cmmc-stage", recipe, "--train", "bone", "--partner", "joint", *inits, "--out", out, *DEVICE]
    assert vimix(*command) == 0
    tuned = ["evaluate", "finetune", recipe, finished / "vimix3/6-cmmc-bone-from-joint", "--out", place / "tuned.json"]
    assert vimix(*tuned, *DEVICE) == 0
    assert json.loads((place / "tuned.json").read_text())["scores"]["top-1"] >= 0


@pytest.mark.slow
def test_a_skeleton_file_finds_itself_in_an_index(finished, place, capsys) -> None:
    checkpoint = finished / "skeletonclr/1-pretrain-joint"
    index = ["index", "build", place / "recipe.toml", checkpoint, place / "s.h5", "--out", place / "i", *DEVICE]
    assert vimix(*index) == 0
    file = sorted((place / "skeletons").iterdir())[3]
    best = json.loads(printed(capsys, "index", "query", place / "i", file, "--json", *DEVICE))["matches"][0]
    assert best["video"] == file.name
    assert best["similarity"] > 0.999
    (place / "broken.skeleton").write_text("1\n1\n")
    told = refused(capsys, "index", "query", place / "i", place / "broken.skeleton", *DEVICE)
    assert "broken.skeleton: truncated: after line 2" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("prepare skeletons {0}/skeletons --layout centaur --out {0}/x.h5", "expected one of coco17"),
        ("prepare skeletons {0}/skeletons --frames 9 --out {0}/s.h5", "made with other settings"),
        ("pretrain {0}/pixels.toml --modality joint --out {0}/x", "use encoder = 'stgcn'"),
        (
            "evaluate linear {0}/recipe.toml {0}/run/vimix/1-pretrain-joint --out {0}/x.json "
            "--set modalities.joint.stgcn.feature_size=7",
            "does not fit the recipe's encoder",
        ),
        ("export {0}/run/vimix/1-pretrain-joint --format torch-export --out {0}/x.pt2", "use --format safetensors"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_two(finished, place, command, message, capsys) -> None:
    assert message in refused(capsys, *command.format(place).split())


def test_too_many_broken_files_are_exit_code_three(tmp_path, capsys) -> None:
    for number in range(4):
        write_walk(tmp_path / f"raw/S001C001P001R001A{number + 1:03d}.skeleton", number, 1)
    (tmp_path / "raw/S001C001P001R001A009.skeleton").write_text("2\r\n0\r\n")
    command = ["prepare", "ntu60", "--skeletons", tmp_path / "raw", "--out", tmp_path / "s.h5", "--workers", 1]
    assert vimix(*command) == 3
    assert "ntu60 is incomplete, no store was written" in capsys.readouterr().out
    assert not (tmp_path / "s.h5").exists()
    assert vimix(*command, "--allow-partial") == 3, "files are unreadable"
    shown = capsys.readouterr().out
    assert "stored 4 of 5 sequences" in shown
    assert "less than 95% of the sequences were stored" in shown
    counts = json.loads((tmp_path / "s.report.json").read_text())["splits"]["xsub-train"]
    assert (counts["official"], counts["found"], counts["unreadable"]) == (40091, 5, 1)
    assert "truncated: after line 2" in shown


@pytest.mark.slow
def test_masked_joints_in_the_plane_train_an_encoder_of_two_channels(tmp_path, capsys) -> None:
    rng = np.random.default_rng(0)
    joints = rng.uniform(0, 400, size=(17, 2)) + rng.normal(size=(24, 16, 1, 1, 2)).cumsum(1)
    joints[:, 3:6, :, 9] = 0
    labels, splits = ["bow", "wave"] * 12, ["train"] * 16 + ["test"] * 8
    names = [f"clip{number}" for number in range(24)]
    np.savez(tmp_path / "set.npz", joints=joints, axes="NTMVC", names=names, labels=labels, splits=splits)
    options = ["--layout", "coco17", "--not-found", "mask", "--frames", 16, "--out", tmp_path / "s.h5", "--workers", 1]
    assert vimix("prepare", "skeletons", tmp_path / "set.npz", *options) == 0
    table = shrunk(ROOT / "experiments/demo-skeleton.toml")
    table["data"]["store"] = str(tmp_path / "s.h5")
    table["pretrain"].update(epochs=1, milestones=[])
    recipe = tmp_path / "recipe.toml"
    command = ["pretrain", recipe, "--modality", "motion", "--out", tmp_path / "run", *DEVICE]
    recipe.write_text(tomli_w.dumps(table))
    assert "use channels = 2" in refused(capsys, *command)
    for modality in table["modalities"].values():
        modality["channels"] = 2
    recipe.write_text(tomli_w.dumps(table))
    assert vimix(*command) == 0
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run/pretrain-motion/metrics.jsonl").open()]
    assert np.isfinite(losses).all()
    encoder = load_encoder(tmp_path / "run/pretrain-motion")
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert encoder.embed(store.read(0, JOINT, 0, 16)).isfinite().all()
