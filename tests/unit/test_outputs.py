"""Outputs take nobody's place, and a place where nothing can be written is told of in one line."""

from pathlib import Path

import pytest
import torch

from tests.e2e.test_command_line import vimix
from tests.e2e.test_travel import RECIPE
from tests.unit.test_storekeeping import shard
from vimix_adapters.cli import main
from vimix_adapters.commands.export import FORMATS
from vimix_adapters.files import WriteError, make_folder, replacing, require_writable, write_text
from vimix_adapters.outputs import json_with, require_output

UNDER_A_FILE, A_FOLDER, TOO_LONG = "file/x", "folder", "x" * 300
PLACES = [(UNDER_A_FILE, "file is not a folder"), (A_FOLDER, "Is a directory"), (TOO_LONG, "name too long")]
"""Where nobody can write, and what the system says of it; permissions do not bind the superuser."""


@pytest.fixture
def here(tmp_path) -> Path:
    (tmp_path / "file").write_text("of the user")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_weights_for_torchvision_replace_weights_for_torchvision(tmp_path) -> None:
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "s3d.pth")
    require_output(tmp_path / "s3d.pth", FORMATS["torchvision"][-1])
    (tmp_path / "encoder.onnx").write_bytes(b"\x08\x0a")
    require_output(tmp_path / "encoder.onnx", FORMATS["onnx"][-1])


@pytest.mark.parametrize(("name", "told"), PLACES)
def test_a_place_that_cannot_be_written_is_told_before_and_while_writing(here, name, told) -> None:
    for write in (require_writable, lambda path: write_text(path, "x")):
        with pytest.raises(WriteError, match=f"{name} cannot be written: .*({told}).*choose another"):
            write(here / name)
    if name != A_FOLDER:
        for refuse in (make_folder, lambda path: require_output(path / "x", json_with("a record", endings=()))):
            with pytest.raises(WriteError, match="cannot be written"):
                refuse(here / name)
    assert sorted(path.name for path in here.rglob("*")) == ["file", "folder"]
    require_writable(here / "new/file")
    assert list((here / "new").iterdir()) == []


def test_what_fails_while_something_is_written_is_told_as_it_is(tmp_path) -> None:
    """An input that cannot be read is not the output's fault, and tidying up hides nothing."""
    with pytest.raises(FileNotFoundError, match="input"), replacing(tmp_path / "x"):
        (tmp_path / "input").read_bytes()

    def fails() -> None:
        with replacing(tmp_path / "x") as temporary:
            temporary.unlink()
            temporary.mkdir()
            raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        fails()


def test_what_takes_the_outputs_place_meanwhile_is_told(tmp_path) -> None:
    with pytest.raises(WriteError, match="x cannot be written: Is a directory"), replacing(tmp_path / "x"):
        (tmp_path / "x").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


ARM = '[arms.moco]\nstages = [{ pretrain = "rgb" }]\n'
SPLITS = {"train": ["a/0", "b/0"], "test": ["a/1"]}
COMMANDS = [
    "run {0}/r.toml --out {1}",
    "run {0}/r.toml --seeds 2 --out {1}",
    "pretrain {0}/r.toml --modality rgb --out {1}",
    "evaluate retrieval {0}/r.toml {0}/none --out {1}.json",
    "evaluate finetune {0}/r.toml --from-scratch rgb --out {1}.json",
    "extract {0}/r.toml {0}/none {0}/s.h5 --out {1}.npz",
    "index build {0}/r.toml {0}/none {0}/s.h5 --out {1}",
    "export {0}/none --format safetensors --out {1}",
    "store merge {1} {0}/s.h5",
    "store export {0}/s.h5 a/0 --out {1}",
    "experiments table 1 --out {1}",
    "prepare folder {0}/videos --flow none --out {1}",
    "bench --tiny --only blend --out {1}",
]


@pytest.mark.parametrize("name", [UNDER_A_FILE, TOO_LONG])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_one_line_before_any_work(here, capsys, command, name) -> None:
    shards = [shard(here / f"{split}.h5", names, splits=(split,)) for split, names in SPLITS.items()]
    assert vimix("store", "merge", here / "s.h5", *shards) == 0
    (here / "r.toml").write_text(RECIPE.format(store=here / "s.h5") + ARM)
    (here / "videos/wave").mkdir(parents=True)
    (here / "videos/wave/0.mp4").touch()
    assert vimix(*command.format(here, here / name).split()) == 2
    captured = capsys.readouterr()
    assert "name too long" in captured.err if name == TOO_LONG else "file" in captured.err
    assert "Traceback" not in captured.err
    assert not any(word in captured.err for word in ("no such checkpoint", "none of 1 videos", "started"))
    assert "blend" not in captured.out


def test_an_error_of_the_system_anywhere_is_one_line_that_names_the_file(monkeypatch, capsys) -> None:
    def refused() -> None:
        Path("/dev/null/metrics.jsonl").read_text()

    monkeypatch.setattr(main, "app", refused)
    assert vimix("run") == 2
    assert "Not a directory: '/dev/null/metrics.jsonl'" in capsys.readouterr().err
