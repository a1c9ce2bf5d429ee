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


STAGE, STORE, CPU = "{0}/[run]/[bold]moco$_{{$/1-pretrain-rgb", "{0}/[s].h5", "--device cpu"
COMMANDS = [
    (f"store info {STORE}", ["[i]wave (6)"]),
    (f"store verify {STORE}", ["{0}/[s].h5: 0 of 12 videos are bad"]),
    (f"run {{0}}/tiny.toml --out {{0}}/new --plan {CPU}", ["[red]tiny on cpu", "[bold]moco$_{{$"]),
    (
        f"evaluate retrieval {{0}}/tiny.toml {STAGE} --out {{1}}/[r].json {CPU}",
        ["[red]tiny: retrieval", "written to {1}/[r].json"],
    ),
    ("experiments stages {0}/[run]", ["[bold]moco$_{{$"]),
    ("experiments figure 3 --runs {0}/[run] --out {1}/[3].png", ["[bold]moco$_{{$", "written to {1}/[3].png"]),
    (f"index build {{0}}/tiny.toml {STAGE} {STORE} --out {{0}}/[i] {CPU}", ["in {0}/[i]"]),
    (
        f"index query {{0}}/[i] {{0}}/videos/[i]wave/test-[b].mp4 {CPU}",
        ["nearest to test-[b].mp4", "[i]wave/test-[b].mp4"],
    ),
    (f"export {STAGE} --format safetensors --out {{0}}/[x].safetensors", ["written to {0}/[x].safetensors ("]),
    (
        "import {0}/[x].safetensors --modality rgb --out {1}/[back]",
        ["[x].safetensors: layout vimix", "written to {1}/[back]/last.pt"],
    ),
    (f"extract {{0}}/tiny.toml {STAGE} {STORE} --out {{1}}/[f].npz {CPU}", ["to {1}/[f].npz"]),
    (f"bench-data {STORE} --frames 8 --size 32 --batch 4 --workers 0 --seconds 0.1 {CPU}", ["[s].h5, train: "]),
    ("bench --tiny --only blend --out {1}/[red].md", ["written to {1}/[red].md"]),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[" ".join(c.split()[:2]) for c, _ in COMMANDS])
def test_a_command_prints_names_as_they_are(place, tmp_path, capsys, command, expected) -> None:
    """``index query`` and ``import`` read what ``index build`` and ``export`` wrote."""
    shown = printed(capsys, *(word.format(place, tmp_path) for word in command.split()))
    for text in expected:
        assert text.format(place, tmp_path) in shown


def test_a_second_call_names_the_store(place, tmp_path, capsys) -> None:
    assert f"{place}/[s].h5 is complete" in printed(capsys, *preparing(place))
    store = tmp_path / "[s].h5"
    shutil.copy(place / "[s].h5", store)
    flow = ["flow", store, "--method", "dis", "--workers", 1]
    assert f"12 of 12 videos of {store} have flow" in printed(capsys, *flow)
    assert f"{store} has this flow" in printed(capsys, *flow)


def test_tensors_that_do_not_match_are_named_as_they_are(place, tmp_path, capsys) -> None:
    stage = next((place / "[run]").glob("*/*/last.pt"))
    assert vimix("export", stage, "--format", "safetensors", "--out", tmp_path / "x.safetensors") == 0
    weights = load_file(tmp_path / "x.safetensors")
    torch.save({**weights, "[odd].weight": torch.zeros(1)}, tmp_path / "x.pt")
    command = ["import", tmp_path / "x.pt", "--layout", "vimix", "--modality", "rgb", "--out", tmp_path / "back"]
    assert "[odd].weight" in printed(capsys, *command)
