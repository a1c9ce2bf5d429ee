"""The same videos with another split are other data: nothing answers for them that was made from the first."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli import sets, vimix
from tests.e2e.killing import RECIPE, make_place, make_store
from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_head import fingerprint
from vimix_adapters.commands import run as run_commands
from vimix_adapters.commands.run import run_plan
from vimix_adapters.config import read_recipe
from vimix_adapters.reports.tables import Row

VIDEO = {"name": "a", "label": 0, "source": "s", "frames": 8, "rate": 30.0}
SECOND = {**VIDEO, "name": "b"}
OTHER = {"name": "c", "label": 1, "source": "t", "frames": 9, "rate": 25.0}
WHOLE: dict[str, Any] = {
    "settings": {"codec": "raw", "flow": "dis"},
    "videos": [VIDEO, SECOND],
    "checksums": ["x", "y"],
    "classes": ["bow", "wave"],
    "splits": {"train": [0], "test": [1]},
}


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"codec": "jpeg", "flow": "dis"}},
        *({"videos": [{**VIDEO, name: value}, SECOND]} for name, value in OTHER.items()),
        {"checksums": ["y", "x"]},
        {"classes": ["wave", "bow"]},
        {"splits": {"train": [1], "test": [0]}},
        {"splits": {"train": [0], "val": [1]}},
    ],
)
def test_a_fingerprint_covers_everything_that_decides_a_result(change) -> None:
    assert fingerprint(**{**WHOLE, **change}) != fingerprint(**WHOLE)
    reordered = {**WHOLE, "splits": dict(reversed(WHOLE["splits"].items()))}
    assert fingerprint(**reordered) == fingerprint(**WHOLE)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_folder_does_not_answer_for_another_split_of_the_same_videos(tmp_path, monkeypatch) -> None:
    """Only the training is looked at, not its evaluation."""
    monkeypatch.setattr(run_commands, "evaluate_run", lambda *_: [Row("arm", "rgb", {"R@1": 0.5})])
    make_store(tmp_path / "a.h5")
    make_store(tmp_path / "b.h5", asked=range(4))
    one, other = (Hdf5VideoStore(tmp_path / f"{name}.h5") for name in "ab")
    assert [video.name for video in one.videos] == [video.name for video in other.videos]
    assert one.fingerprint != other.fingerprint
    shutil.copy(tmp_path / "a.h5", tmp_path / "s.h5")
    (tmp_path / "r.toml").write_text(RECIPE.format(store=tmp_path / "s.h5"))
    recipe = read_recipe(tmp_path / "r.toml", ["arms.vimix.stages=[{ pretrain = 'rgb', epochs = 1, milestones = [] }]"])
    run_plan(recipe, tmp_path / "run", "cpu")
    run_plan(recipe, tmp_path / "run", "cpu")
    shutil.copy(tmp_path / "b.h5", tmp_path / "s.h5")
    with pytest.raises(VimixError, match="was begun with other data"):
        run_plan(recipe, tmp_path / "run", "cpu")


@pytest.mark.slow
def test_an_index_is_not_asked_with_other_weights_than_it_was_built_with(tmp_path, capsys) -> None:
    make_place(tmp_path)
    stage, index = tmp_path / "out/pretrain-rgb", tmp_path / "s.index"

    def train(seed: int) -> None:
        command = ["pretrain", tmp_path / "r.toml", "--modality", "rgb", "--out", tmp_path / "out", "--device", "cpu"]
        settings = sets(f"seed={seed}", "pretrain.epochs=1", "pretrain.milestones=[]")
        assert vimix(*command, *settings) == 0

    def query() -> int:
        return vimix("index", "query", index, tmp_path / "v.mp4", "--device", "cpu", "--json")

    train(seed=0)
    build = ["index", "build", tmp_path / "r.toml", stage, tmp_path / "s.h5", "--out", index, "--device", "cpu"]
    assert vimix(*build) == 0
    assert vimix("store", "export", tmp_path / "s.h5", "v0", "--out", tmp_path / "v.mp4") == 0
    assert query() == 0
    shutil.rmtree(stage.parent)
    train(seed=1)
    assert query() == 2
    assert f"{index} was built with other weights than {Path(stage).resolve()} holds now" in capsys.readouterr().err
