"""README does what it says: its command lines and its example are run."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from tests.e2e.test_command_line import vimix
from tests.fakes.skeletons import write_walk
from tests.fakes.store import moving_square, write_video

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = {
    "data": {"frames": 8, "size": 32, "stride": 1},
    "optim": {"batch": 4},
    "contrast": {"queue": 8, "bn_groups": 2},
    "finetune": {"epochs": 1, "milestones": []},
    "run": {"precision": "float32"},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shrunk(recipe: Path) -> dict[str, Any]:
    """The recipe as a table, with the same arms and names of stages, small enough for a test."""
    table = tomllib.loads(recipe.read_text(encoding="utf-8"))
    for section, keys in SMALL.items():
        table.setdefault(section, {}).update(keys)
    for modality in table["modalities"].values():
        if modality["encoder"] == "stgcn":
            modality["stgcn"] = {"hidden_channels": 2, "feature_size": 4, "dropout": 0.0}
        else:
            modality["width"] = 0.0625
    for stages in [arm["stages"] for arm in table["arms"].values()]:
        for stage in stages:
            stage.update(epochs=1, milestones=[])
    return table


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """``my_videos``, NTU's skeletons, and the demos' recipes made small: same arms, same names of stages."""
    for number in range(8):
        write_video(tmp_path / f"my_videos/bow/{number}.mp4", moving_square(16 + number, 48, 48))
        write_video(tmp_path / f"my_videos/wave/{number}.mp4", moving_square(20, 48, 48, speed=1 + number))
    shutil.copy(tmp_path / "my_videos/wave/0.mp4", tmp_path / "my_videos/wave/clip.mp4")
    for number in range(6):
        write_walk(tmp_path / f"nturgb+d_skeletons/S001C001P00{number + 1}R001A001.skeleton", number, 1)
    (tmp_path / "experiments").mkdir()
    for name in ("demo", "demo-skeleton"):
        (tmp_path / f"experiments/{name}.toml").write_text(tomli_w.dumps(shrunk(ROOT / f"experiments/{name}.toml")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_vimix_command_line_of_the_readme_runs(workplace) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("vimix ")]
    assert len(lines) >= 8
    for line in lines:
        assert vimix(*shlex.split(line, comments=True)[1:]) == 0, line
    assert (workplace / "runs/mine/results.md").exists()
    assert (workplace / "two-stream.json").exists()


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_example_of_the_readme_runs() -> None:
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(example, names)
    assert float(names["loss"]) > 0


def test_every_path_that_the_readme_names_exists() -> None:
    for path in re.findall(r"`((?:src|adapters|tests|experiments)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path
