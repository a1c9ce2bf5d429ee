"""Commands print names with square brackets and colons as they are, and no markup of their own.

rich takes ``[a].mp4`` for markup, and ``:cat:`` for a picture of a cat, unless the console has both switched off;
matplotlib takes what stands between dollar signs for mathematics, and fails where it is none.
"""

import csv
import itertools
import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.cli import SMALL, vimix
from vimix_adapters.synth.encode import choose_codec, write_video

pytestmark = pytest.mark.slow

RECIPE = (
    'name = "[red]tiny"'
    + SMALL
    + """
[contrast]
queue = 4
[run]
log_every = 1
precision = "float32"
[arms."[bold]moco$_{{$"]
stages = [{{ pretrain = "rgb", epochs = 1, milestones = [], mix = {{ policy = "none" }} }}]
"""
)
MARKUP = re.compile(r"\[/|\\\[|\[(green|yellow|dim)\]")
"""A closing tag, an escaped bracket, and colours."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A run on a store of videos, with brackets in every name."""
    place, rng = tmp_path_factory.mktemp("names") / "[red]:cat:", np.random.default_rng(0)
    place.mkdir()
    with (place / "split.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for label, name, split in itertools.product(("[i]wave", "[i]jump"), "abc", ("train", "test")):
            video = place / f"videos/{label}/{split}-[{name}].mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            write_video(video, rng.integers(0, 256, (10, 32, 32, 3), np.uint8), Fraction(30), choose_codec())
            rows.writerow([video.relative_to(place / "videos"), label, split])
    assert vimix(*preparing(place)) == 0
    (place / "tiny.toml").write_text(RECIPE.format(store=place / "[s].h5"))
    assert vimix("run", place / "tiny.toml", "--out", place / "[run]", "--device", "cpu") == 0
    return place


def preparing(place: Path) -> list[object]:
    small = ["--short-side", 32, "--flow", "none", "--codec", "raw", "--workers", 1]
    files = [place / "videos", "--split", place / "split.csv", "--out", place / "[s].h5"]
    return ["prepare", "folder", *files, *small]


def printed(capsys, *command: object) -> str:
    """Output of a command on both streams, joined to one line, because titles may be folded."""
    capsys.readouterr()
    assert vimix(*command) == 0
    both = "".join(capsys.readouterr())
    assert not MARKUP.search(both), both
    return both.replace("\n", "")


def test_preparing_again_names_the_store(place, capsys) -> None:
    assert f"{place}/[s].h5 is complete" in printed(capsys, *preparing(place))


def test_adding_flow_again_names_the_store(place, tmp_path, capsys) -> None:
    store = tmp_path / "[s].h5"
    shutil.copy(place / "[s].h5", store)
    command = ["flow", store, "--method", "dis", "--workers", 1]
    assert f"12 of 12 videos of {store} have flow" in printed(capsys, *command)
    assert f"{store} has this flow" in printed(capsys, *command)


def test_a_stores_table_has_its_classes(place, capsys) -> None:
    assert "[i]wave (6)" in printed(capsys, "store", "info", place / "[s].h5")
    assert f"{place}/[s].h5: 0 of 12 videos are bad" in printed(capsys, "store", "verify", place / "[s].h5")


def test_a_plan_has_recipe_and_arm(place, capsys) -> None:
    shown = printed(capsys, "run", place / "tiny.toml", "--out", place / "new", "--plan", "--device", "cpu")
    assert "[red]tiny on cpu" in shown
    assert "[bold]moco$_{$" in shown


def test_results_have_recipe_and_arm(place, tmp_path, capsys) -> None:
    stage, out = next((place / "[run]").glob("*/*/last.pt")), tmp_path / "[r].json"
    shown = printed(capsys, "evaluate", "retrieval", place / "tiny.toml", stage, "--out", out, "--device", "cpu")
    assert "[red]tiny: retrieval" in shown
    assert f"written to {out}" in shown


def test_curves_and_stages_of_a_run_have_its_arm(place, tmp_path, capsys) -> None:
    assert "[bold]moco$_{$" in printed(capsys, "experiments", "stages", place / "[run]")
    command = ["experiments", "figure", 3, "--runs", place / "[run]", "--out", tmp_path / "[3].png"]
    shown = printed(capsys, *command)
    assert "[bold]moco$_{$" in shown
    assert f"written to {tmp_path}/[3].png" in shown


def test_an_index_has_the_videos(place, tmp_path, capsys) -> None:
    stage = next((place / "[run]").glob("*/*/last.pt"))
    build = ["index", "build", place / "tiny.toml", stage, place / "[s].h5", "--out", tmp_path / "[i]"]
    assert f"in {tmp_path}/[i]" in printed(capsys, *build, "--device", "cpu")
    shown = printed(
        capsys, "index", "query", tmp_path / "[i]", place / "videos/[i]wave/test-[b].mp4", "--device", "cpu"
    )
    assert "nearest to test-[b].mp4" in shown
    assert "[i]wave/test-[b].mp4" in shown


def test_weights_that_go_out_and_come_back_have_the_names_of_their_files(place, tmp_path, capsys) -> None:
    stage, file = next((place / "[run]").glob("*/*/last.pt")), tmp_path / "[x].safetensors"
    assert f"written to {file} (" in printed(capsys, "export", stage, "--format", "safetensors", "--out", file)
    shown = printed(capsys, "import", file, "--modality", "rgb", "--out", tmp_path / "[back]")
    assert "[x].safetensors: layout vimix" in shown
    assert f"written to {tmp_path}/[back]/last.pt" in shown


def test_features_have_the_name_of_their_file(place, tmp_path, capsys) -> None:
    stage, out = next((place / "[run]").glob("*/*/last.pt")), tmp_path / "[f].npz"
    extract = ["extract", place / "tiny.toml", stage, place / "[s].h5", "--out", out, "--device", "cpu"]
    assert f"to {out}" in printed(capsys, *extract)


def test_tensors_that_do_not_match_are_named_as_they_are(place, tmp_path, capsys) -> None:
    stage = next((place / "[run]").glob("*/*/last.pt"))
    assert vimix("export", stage, "--format", "safetensors", "--out", tmp_path / "x.safetensors") == 0
    weights = load_file(tmp_path / "x.safetensors")
    torch.save({**weights, "[odd].weight": torch.zeros(1)}, tmp_path / "x.pt")
    command = ["import", tmp_path / "x.pt", "--layout", "vimix", "--modality", "rgb", "--out", tmp_path / "back"]
    assert "[odd].weight" in printed(capsys, *command)


def test_measuring_a_store_names_it(place, capsys) -> None:
    small = ["--frames", 8, "--size", 32, "--batch", 4, "--workers", 0, "--seconds", 0.1, "--device", "cpu"]
    assert "[s].h5, train: " in printed(capsys, "bench-data", place / "[s].h5", *small)


def test_benchmarks_name_their_report(tmp_path, capsys) -> None:
    report = tmp_path / "[red].md"
    assert f"written to {report}" in printed(capsys, "bench", "--tiny", "--only", "blend", "--out", report)
