"""A finetuned checkpoint can be used wherever a checkpoint can, and it predicts the classes of new files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.builders import bow_and_wave_store
from tests.cli import printed, refused, sets, vimix
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.commands.extract_windows import sliding
from vimix_adapters.prepare.single_file import read_as_stored
from vimix_adapters.pretrained import load_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of eight videos, a recipe, and a network finetuned on it in ``tuned/rgb``."""
    folder = tmp_path_factory.mktemp("finetuned")
    bow_and_wave_store(folder, 4)
    command = ["evaluate", "finetune", folder / "r.toml", "--from-scratch", "rgb", "--device", "cpu"]
    assert vimix(*command, "--out", folder / "tuned.json") == 0
    return folder


COMMANDS = {
    "extract": ["extract", "r.toml", "tuned/rgb", "s.h5", "--out", "features.npz"],
    "index": ["index", "build", "r.toml", "tuned/rgb", "s.h5", "--out", "clips.index"],
    "retrieval": ["evaluate", "retrieval", "r.toml", "tuned/rgb", "--out", "retrieval.json"],
    "linear": ["evaluate", "linear", "r.toml", "tuned/rgb", "--out", "linear.json"],
    "init": ["pretrain", "r.toml", "--modality", "rgb", "--init", "tuned/rgb", "--out", "run"],
    "finetune": ["evaluate", "finetune", "r.toml", "tuned/rgb", "--out", "again.json"],
    "export": ["export", "tuned/rgb", "--format", "safetensors", "--out", "rgb.safetensors"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_a_finetuned_checkpoint(place, monkeypatch, command) -> None:
    monkeypatch.chdir(place)
    assert vimix(*COMMANDS[command]) == 0


def test_a_training_from_a_finetuned_checkpoint_starts_with_its_encoder(place, tmp_path) -> None:
    command = ["pretrain", place / "r.toml", "--modality", "rgb", "--init", place / "tuned/rgb", "--device", "cpu"]
    assert vimix(*command, "--out", tmp_path, *sets("optim.lr=1e-30", "optim.weight_decay=0.0")) == 0
    stem = "encoder.features.0.0.0.weight"
    tuned, trained = load_checkpoint(place / "tuned/rgb"), load_checkpoint(tmp_path / "pretrain-rgb")
    torch.testing.assert_close(trained.parts["query"][stem], tuned.parts["classifier"][stem])


def test_files_get_the_probabilities_that_they_had_as_test_videos(place, monkeypatch, capsys) -> None:
    """The store's clips and the file's pass the same windows and ten crops."""
    monkeypatch.chdir(place)
    with (place / "tuned.scores.csv").open(encoding="utf-8") as file:
        recorded = {row["video"]: row for row in csv.DictReader(file)}
    files = [f"videos/{name}" if name.endswith(".mp4") else f"videos/{name}.mp4" for name in recorded]
    answer = json.loads(printed(capsys, "predict", "tuned/rgb", *files, "--json", "--device", "cpu"))
    assert answer["failed"] == {}
    for row, video in zip(recorded.values(), answer["videos"], strict=True):
        assert video["scores"]["bow"] == pytest.approx(float(row["bow"]), abs=2e-4)
        assert video["class"] == row["predicted"]
        windows = video["windows"]
        assert windows[0]["start_seconds"] == 0
        assert all(window["start_seconds"] < window["end_seconds"] for window in windows)
        mean = np.mean([window["scores"]["bow"] for window in windows])
        assert video["scores"]["bow"] == pytest.approx(mean, abs=2e-4)


def test_an_evaluation_leaves_the_scores_of_each_video_and_the_confusions(place) -> None:
    record = json.loads((place / "tuned.json").read_text())
    with (place / "tuned.scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    right = [row["class"] == row["predicted"] for row in rows]
    assert record["scores"]["top-1"] == pytest.approx(np.mean(right))
    for row in rows:
        scores = {name: float(row[name]) for name in ("bow", "wave")}
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(scores, key=scores.__getitem__)
        assert row["video"].startswith(f"{row['class']}/")
    matrix = json.loads((place / "tuned.confusion.json").read_text())
    assert np.trace(matrix["counts"]) == sum(right)
    for name, counts in zip(matrix["classes"], matrix["counts"], strict=True):
        own = counts[matrix["classes"].index(name)]
        assert record["by_class"][name] == pytest.approx(own / sum(counts))
    assert (place / "tuned.confusion.png").read_bytes().startswith(b"\x89PNG")


def test_retrieval_leaves_the_nearest_video_of_each_query(place, tmp_path) -> None:
    command = ["evaluate", "retrieval", place / "r.toml", place / "tuned/rgb", "--device", "cpu"]
    assert vimix(*command, "--out", tmp_path / "found.json") == 0
    with (tmp_path / "found.scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first = np.mean([row["rank_of_own_class"] == "1" for row in rows])
    assert json.loads((tmp_path / "found.json").read_text())["scores"]["R@1"] == pytest.approx(first)
    assert all((row["class"] == row["nearest_class"]) == (row["rank_of_own_class"] == "1") for row in rows)


def test_a_probe_is_trained_on_fractions_of_the_labels_too(place, tmp_path, capsys) -> None:
    command = ["evaluate", "linear", place / "r.toml", place / "tuned/rgb", "--device", "cpu"]
    assert vimix(*command, "--out", tmp_path / "few.json", "--fractions", "0.2,1", "--draws", 3) == 0
    record = json.loads((tmp_path / "few.json").read_text())
    few, every = record["fractions"]
    assert (few["videos"], len(few["top-1"])) == (2, 3)
    assert (every["videos"], every["top-1"]) == (record["videos"]["train"], [record["scores"]["top-1"]])
    assert (tmp_path / "few.fractions.png").read_bytes().startswith(b"\x89PNG")
    assert vimix(*command, "--out", tmp_path / "none.json", "--fractions", "0,1") == 2
    assert "expected numbers above 0 and at most 1" in capsys.readouterr().err


def test_a_part_of_a_video_finds_its_own_moment(place, tmp_path, monkeypatch, capsys) -> None:
    """The clip of frames 8 to 15 of a video that is in the index is nearest to itself."""
    monkeypatch.chdir(place)
    build = ["index", "build", "r.toml", "tuned/rgb", "s.h5", "--out", tmp_path / "i.index", "--device", "cpu"]
    assert vimix(*build, "--set", "evaluate.stride=4") == 0
    name = "videos/wave/3.mp4"  # its square has a speed of its own; those of bow are the same, frame by frame
    query = ["index", "query", tmp_path / "i.index", name, "-k", 3, "--json", "--device", "cpu"]
    rate = 30
    best, *others = json.loads(printed(capsys, *query, "--from", 8 / rate, "--to", 16 / rate, "--moments"))["matches"]
    assert name.endswith(best["video"]) or best["video"] in name
    assert best["similarity"] > 0.98  # features of a network that hardly learnt differ little; rounding shows
    assert (best["start_seconds"], best["end_seconds"]) == (
        pytest.approx(8 / rate, abs=2e-3),
        pytest.approx(16 / rate, abs=2e-3),
    )
    for other in others:
        apart = (
            other["start_seconds"] >= best["end_seconds"] - 1e-3 or other["end_seconds"] <= best["start_seconds"] + 1e-3
        )
        assert other["video"] != best["video"] or apart
    assert "lasts from 0 to" in refused(capsys, *query, "--from", 2, "--to", 90)


def test_an_index_and_its_checkpoint_may_move_together_but_not_change(place, tmp_path, capsys) -> None:
    shutil.copytree(place / "tuned", tmp_path / "old/tuned")
    build = ["index", "build", place / "r.toml", tmp_path / "old/tuned/rgb", place / "s.h5", "--device", "cpu"]
    assert vimix(*build, "--out", tmp_path / "old/i.index") == 0
    (tmp_path / "old").rename(tmp_path / "new")
    query = ["index", "query", tmp_path / "new/i.index", place / "videos/bow/0.mp4", "--device", "cpu"]
    assert vimix(*query) == 0
    changed = load_checkpoint(tmp_path / "new/tuned/rgb")
    changed.parts["classifier"]["encoder.features.0.0.0.weight"].add_(1)
    FolderCheckpointStore(tmp_path / "new/tuned/rgb").save(changed)
    told = f"{tmp_path}/new/i.index was built with other weights than {tmp_path}/new/tuned/rgb holds now"
    assert told in refused(capsys, *query)
    shutil.rmtree(tmp_path / "new/tuned")
    assert "its checkpoint is neither at" in refused(capsys, *query)


def test_windows_of_an_untrimmed_video_have_the_features_of_videos_of_their_length(
    place, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(place)
    name = "videos/bow/3.mp4"  # 25 frames
    command = ["extract", "r.toml", "tuned/rgb", name, "--window", 10 / 30, "--stride", 4 / 30, "--device", "cpu"]
    assert vimix(*command, "--out", tmp_path / "w", "--set", "evaluate.batch_clips=3") == 0
    with np.load(tmp_path / "w/3.npz", allow_pickle=False) as file:
        table = {key: file[key] for key in file.files}
    assert (table["fps"], table["feat_stride"], table["num_frames"]) == (pytest.approx(30), 4, 10)
    starts = [0, 4, 8, 12, 16]
    assert table["start"] == pytest.approx(np.array(starts) / 30)
    assert table["end"] == pytest.approx(np.array([10, 14, 18, 22, 25]) / 30)
    encoder = load_encoder(place / "tuned/rgb", device="cpu")
    frames = read_as_stored(place / name, encoder.packing, encoder.modality)
    for row, start in zip(table["feats"], starts, strict=True):
        np.testing.assert_allclose(row, encoder.embed(frames[start : start + 10]).numpy(), rtol=1e-4, atol=1e-5)
    assert vimix(*command, "--out", tmp_path / "w", "--window", 0) == 2
    monkeypatch.setattr("vimix_adapters.clips.decode.PIECE", 7)  # other pieces, the same windows
    assert vimix(*command, "--out", tmp_path / "again") == 0
    with np.load(tmp_path / "again/3.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["feats"], table["feats"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(10, 4), (5, 5), (4, 7), (30, 3), (3, 1)])
@pytest.mark.parametrize("length", [1, 5, 23, 24, 28])
def test_windows_of_pieces_are_those_of_the_whole_and_see_every_frame(window, stride, length) -> None:
    frames = np.arange(length)
    whole = [
        (first, frames[first : first + window].tolist())
        for first in range(0, length, stride)
        if first == 0 or first + window <= length or length - first > max(0, window - stride)
    ]
    for piece in (1, 6, 64):
        pieces = [frames[start : start + piece] for start in range(0, length, piece)]
        assert [(first, part.tolist()) for first, part in sliding(pieces, window, stride)] == whole
    if window >= stride:
        assert {frame for _, part in whole for frame in part} == set(range(length))


def test_a_finished_training_goes_on_to_more_epochs_as_if_it_had_had_them(place, tmp_path, capsys) -> None:
    command = ["pretrain", place / "r.toml", "--modality", "rgb", "--device", "cpu"]
    longer = ["--set", "pretrain.epochs=2"]
    assert vimix(*command, "--out", tmp_path / "one") == 0
    assert vimix(*command, "--out", tmp_path / "one", *longer) == 2  # without --resume
    assert vimix(*command, "--out", tmp_path / "one", *longer, "--resume") == 0
    assert vimix(*command, "--out", tmp_path / "two", *longer) == 0
    one, two = (load_checkpoint(tmp_path / run / "pretrain-rgb") for run in ("one", "two"))
    assert one.progress == two.progress
    for name, value in two.parts["query"].items():
        assert torch.equal(one.parts["query"][name], value)
    changed = ["--set", "pretrain.epochs=4", "--set", "pretrain.milestones=[1]", "--resume"]
    assert "pretrain.milestones" in refused(capsys, *command, "--out", tmp_path / "one", *changed)
    other = [*longer, "--set", "optim.lr=0.01", "--resume"]
    assert "differs in optim.lr" in refused(capsys, *command, "--out", tmp_path / "one", *other)


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_classified(place, tmp_path, capsys) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    good = next((place / "videos/bow").iterdir())
    assert vimix("predict", place / "tuned/rgb", tmp_path / "broken.mp4", good, "--windows", "--device", "cpu") == 2
    shown = capsys.readouterr()
    assert str(good) in shown.out
    assert "error: 1 of 2 files could not be read" in shown.err


def test_a_checkpoint_without_a_classifier_predicts_nothing(place, capsys, tmp_path) -> None:
    command = ["pretrain", place / "r.toml", "--modality", "rgb", "--device", "cpu", "--out", tmp_path]
    assert vimix(*command) == 0
    assert "has no classifier" in refused(capsys, "predict", tmp_path / "pretrain-rgb", "x.mp4", "--device", "cpu")
