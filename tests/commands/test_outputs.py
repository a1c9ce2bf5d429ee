"""An output that cannot be written is refused in one line, before any work."""

from pathlib import Path

import pytest

from tests.builders import shard
from tests.cli import ONE_STREAM, refused, vimix
from vimix_adapters.cli import main
from vimix_adapters.files import WriteError, make_folder, replacing, require_new, require_writable, write_text

UNDER_A_FILE, A_FOLDER, TOO_LONG = "file/x", "folder", "x" * 300
PLACES = [(UNDER_A_FILE, "file is not a folder"), (A_FOLDER, "Is a directory"), (TOO_LONG, "name too long")]
"""Paths that cannot be written, and the reason the system gives; permissions do not bind the superuser."""


@pytest.fixture
def here(tmp_path) -> Path:
    (tmp_path / "file").write_text("of the user")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(("name", "reason"), PLACES)
def test_a_path_that_cannot_be_written_is_refused_before_and_while_writing(here, name, reason) -> None:
    for write in (require_writable, lambda path: write_text(path, "x")):
        with pytest.raises(WriteError, match=f"{name} cannot be written: .*({reason}).*choose another"):
            write(here / name)
    for force in (False, True):
        with pytest.raises(WriteError, match=f"cannot be written: .*({reason}|not a folder)"):
            require_new(here / name, force)
        with pytest.raises(WriteError, match=r"/dev/null cannot be written: .*not a regular file"):
            require_new(Path("/dev/null"), force)
    if name != A_FOLDER:
        for refuse in (make_folder, lambda path: require_new(path / "x")):
            with pytest.raises(WriteError, match="cannot be written"):
                refuse(here / name)
    assert sorted(path.name for path in here.rglob("*")) == ["file", "folder"]
    require_writable(here / "new/file")
    assert list((here / "new").iterdir()) == []


def test_an_error_while_writing_is_raised_as_it_is(tmp_path) -> None:
    """An input that cannot be read is not the output's fault, and removing the temporary file hides nothing."""
    with pytest.raises(FileNotFoundError, match="input"), replacing(tmp_path / "x"):
        (tmp_path / "input").read_bytes()

    def fails() -> None:
        with replacing(tmp_path / "x") as temporary:
            temporary.unlink()
            temporary.mkdir()
            raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        fails()


def test_a_folder_made_in_place_of_the_output_meanwhile_is_named(tmp_path) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("name", [UNDER_A_FILE, TOO_LONG])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_one_line_before_any_work(here, capsys, command, name) -> None:
    shards = [shard(here / f"{split}.h5", names, splits=(split,)) for split, names in SPLITS.items()]
    assert vimix("store", "merge", here / "s.h5", *shards) == 0
    (here / "r.toml").write_text(ONE_STREAM.format(store=here / "s.h5") + ARM)
    (here / "videos/wave").mkdir(parents=True)
    (here / "videos/wave/0.mp4").touch()
    assert vimix(*command.format(here, here / name).split()) == 2
    captured = capsys.readouterr()
    assert "name too long" in captured.err if name == TOO_LONG else "file" in captured.err
    assert "Traceback" not in captured.err
    assert not any(word in captured.err for word in ("no such checkpoint", "none of 1 videos", "started"))
    assert "blend" not in captured.out


def test_an_error_of_the_system_anywhere_is_one_line_that_names_the_file(monkeypatch, capsys) -> None:
    def fails() -> None:
        Path("/dev/null/metrics.jsonl").read_text()

    monkeypatch.setattr(main, "app", fails)
    assert "Not a directory: '/dev/null/metrics.jsonl'" in refused(capsys, "run")
