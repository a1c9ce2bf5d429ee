"""README does what it says: its command lines and its example are run."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import tomli_w

from tests.e2e.test_command_line import vimix
from tests.fakes import official_datasets
from tests.fakes.skeletons import write_walk
from tests.fakes.store import moving_square, write_video
from tests.recipes import ROOT, shrunk
from vimix_adapters.datasets import ucf101

pytestmark = pytest.mark.slow

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def open_session(tmp_path, monkeypatch) -> Path:
    """``my_videos``, NTU's skeletons, and the demos' recipes made small: same arms, same names of stages."""
    for number in range(8):
        write_video(tmp_path / f"my_videos/bow/{number}.mp4", moving_square(16 + number, 48, 48))
        write_video(tmp_path / f"my_videos/wave/{number}.mp4", moving_square(20, 48, 48, speed=1 + number))
    shutil.copy(tmp_path / "my_videos/wave/0.mp4", tmp_path / "my_videos/wave/clip.mp4")
    official_datasets.ucf101(tmp_path)
    monkeypatch.setattr(
        ucf101, "TOTALS", {f"{kind}{k}": n for k in (1, 2, 3) for kind, n in official_datasets.UCF_SIZES}
    )
    for number in range(6):
        name = f"S001C001P00{number + 1}R001A00{1 + number % 2}"
        write_walk(tmp_path / f"nturgb+d_skeletons/{name}.skeleton", number, 1)
    (tmp_path / "experiments").mkdir()
    for name in ("demo", "demo-skeleton"):
        (tmp_path / f"experiments/{name}.toml").write_text(tomli_w.dumps(shrunk(ROOT / f"experiments/{name}.toml")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_vimix_command_line_of_the_readme_runs(open_session) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("vimix ")]
    assert len(lines) >= 8
    for line in lines:
        assert vimix(*shlex.split(line, comments=True)[1:]) == 0, line
    assert (open_session / "runs/mine/results.md").exists()
    assert (open_session / "two-stream.json").exists()


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")}
    assert targets == {"demo", "test"}
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_examples_of_the_readme_run(open_session) -> None:
    """Where ``my.h5`` was made with the first of its command lines."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    first = next(line for line in lines if line.startswith("vimix prepare folder"))
    assert vimix(*shlex.split(first)[1:]) == 0
    parts, modality = ({"__name__": f"example{i}"} for i in range(2))
    exec(blocks("python")[0], parts)
    assert float(parts["loss"]) > 0
    exec(blocks("python")[1], modality)
    assert modality["checkpoint"].modality == "change"
    store, plain = modality["store"], modality["store"].of
    rgb = plain.read(0, "rgb", 0, 6).astype(int)
    assert (store.read(0, "change", 0, 6)[1:] == abs(rgb[1:] - rgb[:-1])).all()
    assert (store.read(0, "change", 2, 3) == store.read(0, "change", 0, 6)[2:5]).all(), "wherever a clip begins"
    assert not store.read(0, "change", 0, 1).any()
    assert (store.read(0, "rgb", 1, 2) == rgb[1:3]).all()
    assert len(blocks("python")) == 2
