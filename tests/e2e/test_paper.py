"""The paper's experiments on tiny data: every recipe trains, and what runs leave behind becomes tables and figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from tests.e2e.test_command_line import vimix
from tests.fakes.store import moving_square, write_video
from tests.recipes import all_recipes, of_skeletons, on_store, shrunk
from vimix.values.modality import Modality
from vimix_adapters import wiring
from vimix_adapters.commands.runs import train_arms
from vimix_adapters.config import read_recipe
from vimix_adapters.encoders.network import Compute

CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store of 18 videos of two classes, 12 to train on, with flow."""
    folder = tmp_path_factory.mktemp("paper")
    rows = []
    for name in ("bow", "wave"):
        for number in range(9):
            write_video(folder / f"videos/{name}/{number}.mp4", moving_square(12 + number, 36, 36, speed=1 + number))
            rows.append(f"{name}/{number}.mp4,{name},{'test' if number < 3 else 'train'}")
    (folder / "splits.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    options = ["--flow", "dis", "--short-side", 36, "--codec", "raw", "--workers", 1, "--split", folder / "splits.csv"]
    assert vimix("prepare", "folder", folder / "videos", "--out", folder / "s.h5", *options) == 0
    return folder / "s.h5"


def tiny(recipe: Path, store: Path, folder: Path) -> Path:
    """The recipe made small and set on the tiny store."""
    file = folder / recipe.name
    file.write_text(tomli_w.dumps(on_store(shrunk(recipe), store)))
    return file


@pytest.mark.parametrize("path", all_recipes())
def test_every_recipe_is_planned_and_takes_two_steps_of_each_stage(path, store, tmp_path, capsys) -> None:
    if of_skeletons(path):
        pytest.skip("trained on a store of skeletons by the tests of those")
    assert vimix("run", path, "--out", tmp_path / "plan", "--plan", *CPU) == 0
    assert "to do" in capsys.readouterr().out
    recipe = read_recipe(tiny(path, store, tmp_path), ["evaluate.knn_every=0"])
    newest = train_arms(recipe, wiring.build_store(recipe), tmp_path / "run", Compute(torch.device("cpu")))
    assert newest.keys() == recipe.arms.keys()
    for arm, stages in recipe.arms.items():
        for number, stage in enumerate(stages.stages):
            (metrics,) = (tmp_path / "run" / arm).glob(f"{number + 1}-*/metrics.jsonl")
            rows = [json.loads(line) for line in metrics.read_text().splitlines()]
            assert [row["step"] for row in rows[:2]] == [1, 2], (arm, stage)
            assert all(np.isfinite(row["loss"]) for row in rows)
            assert all(0 <= row["weight"] <= 1 for row in rows)
    assert {Modality(m) for trained in newest.values() for m in trained} <= set(map(Modality, recipe.modalities))
