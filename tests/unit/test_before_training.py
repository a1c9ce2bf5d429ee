"""What a run cannot be finished with is refused before it trains, by file or key."""

from pathlib import Path

import pytest

from tests.e2e.killing import RECIPE, make_store
from tests.e2e.test_command_line import vimix


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of twelve videos to train on and four to ask for, and a recipe."""
    folder = tmp_path_factory.mktemp("before")
    make_store(folder / "s.h5")
    (folder / "r.toml").write_text(RECIPE.format(store=folder / "s.h5"))
    return folder


def refused(place: Path, capsys, *more: str) -> str:
    """The line on which ``vimix run`` gives up, having trained and written nothing."""
    assert vimix("run", place / "r.toml", "--out", place / "run", "--device", "cpu", *more) == 2
    assert not (place / "run").exists()
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


@pytest.mark.parametrize("more", [[], ["--plan"]])
def test_channels_are_those_of_the_store(place, capsys, more) -> None:
    told = refused(place, capsys, "--set", "modalities.flow.channels=3", *more)
    assert f"modalities.flow.channels: 3, but {place / 's.h5'} holds flow in 2 channels: use channels = 2" in told


def test_seeds_are_what_every_generator_takes(place, capsys) -> None:
    assert "expected how many, such as 5, or which" in refused(place, capsys, "--seeds", "0,9223372036854775808")
