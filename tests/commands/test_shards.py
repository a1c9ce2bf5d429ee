"""A store in shards: dividing, joining, checking and replacing it, and reading it like one file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rich.console import Console

from tests.builders import SQUARES, change_head, in_shards, shard
from tests.cli import TINY, printed, refused, vimix
from tests.fakes.store import FakeVideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters import wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_check import check_video
from vimix_adapters.config.read_recipe import read_recipe
from vimix_adapters.files import WriteError
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.flow_store import FlowOptions, compute_flow
from vimix_adapters.prepare.store_info import describe
from vimix_adapters.prepare.store_tools import index, merge, split, verify
from vimix_adapters.wiring import recorded_settings
from vimix_adapters.wiring.recorded_settings import store_settings

QUIET = Console(quiet=True)


def shards_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.h5") if file.name != "index.h5")


@pytest.fixture
def folder(tmp_path) -> Path:
    in_shards(tmp_path)
    return tmp_path / "shards"


def test_a_divided_store_is_the_same_store_and_one_file_again_when_it_is_merged(folder, tmp_path, capsys) -> None:
    assert vimix("store", "merge", tmp_path / "again.h5", folder) == 0
    assert vimix("store", "verify", folder, "--workers", "1") == 0
    prints = {Hdf5VideoStore(path).fingerprint for path in (tmp_path / "store.h5", folder, tmp_path / "again.h5")}
    assert len(prints) == 1
    assert f"(fingerprint {prints.pop()})" in capsys.readouterr().out
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "store.h5").read_bytes()


def test_each_shard_is_a_store_of_its_own_with_its_part_of_the_splits(folder) -> None:
    """Shards can be copied and checked one by one."""
    one, two = (Hdf5VideoStore(folder / name) for name in shards_in(folder))
    assert [video.name for video in (*one.videos, *two.videos)] == [video.name for video in FakeVideoStore().videos]
    assert (list(one.members("test")), list(one.members("train"))) == ([0], [1])
    assert (list(two.splits), list(two.members("train"))) == (["train"], [0, 1])


def test_shards_that_were_made_one_by_one_become_one_store_without_copying(tmp_path, capsys) -> None:
    names = list(SQUARES)
    shard(tmp_path / "k/2.h5", names[:2])
    shard(tmp_path / "k/1.h5", names[1:], splits=("train", "extra"))
    merged = merge(tmp_path / "m.h5", [tmp_path / "k/1.h5", tmp_path / "k/2.h5"])
    assert "4 videos in 2 shards" in printed(capsys, "store", "index", tmp_path / "k")
    made = Hdf5VideoStore(tmp_path / "k")
    assert (made.fingerprint, made.quarantined) == (merged.fingerprint, 2)
    for number, video in enumerate(merged.videos):
        assert np.array_equal(made.read(number, RGB, 0, video.frames), merged.read(number, RGB, 0, video.frames))
    assert "replace it with --force" in refused(capsys, "store", "index", tmp_path / "k")
    assert vimix("store", "index", tmp_path / "k", "--force") == 0
    (tmp_path / "empty").mkdir()
    assert "there is no store (*.h5) in it" in refused(capsys, "store", "index", tmp_path / "empty")


def test_info_counts_the_shards_and_their_bytes(folder, capsys) -> None:
    described = describe(folder)
    assert described["shards"] == shards_in(folder)
    assert described["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert "in 2 shards" in printed(capsys, "store", "info", folder)


@pytest.mark.slow
def test_flow_is_added_to_all_shards_at_once_and_the_old_ones_are_removed(tmp_path) -> None:
    whole = shard(tmp_path / "whole.h5", list(SQUARES))
    split(whole, tmp_path / "k", 5000)
    before = shards_in(tmp_path / "k")
    for path in (whole, tmp_path / "k"):
        assert compute_flow(path, "dis", 0, 20.0, FlowOptions(LocalEngine(1)), QUIET).complete
    assert len(before) > 1
    assert not set(before) & set(shards_in(tmp_path / "k"))
    made = Hdf5VideoStore(tmp_path / "k")
    assert made.fingerprint == Hdf5VideoStore(whole).fingerprint
    assert made.read(3, FLOW, 0, 5).shape == (5, 32, 40, 2)
    assert verify(tmp_path / "k", 1, QUIET)["bad"] == []


def test_a_call_that_was_killed_before_the_index_leaves_the_old_store_and_the_next_goes_on(folder, tmp_path) -> None:
    made = shards_in(folder)
    times = [(folder / name).stat().st_mtime_ns for name in made]
    (folder / "00002-01234567.h5").write_bytes(b"of another call")
    split(tmp_path / "store.h5", folder, 5000, force=True)
    assert shards_in(folder) == made
    assert [(folder / name).stat().st_mtime_ns for name in made] == times


def test_damage_in_a_shard_is_found_and_the_video_named(folder) -> None:
    with h5py.File(folder / shards_in(folder)[1], "r+") as file:
        file["videos/00000000/rgb"][0] ^= 1
    (bad,) = verify(folder, 1, QUIET)["bad"]
    assert bad["video"] == "2.mp4"


def test_a_shard_that_another_process_writes_is_no_damage(folder, monkeypatch) -> None:
    def locked(*_: object) -> None:
        raise WriteError("another process writes it")

    monkeypatch.setattr(Hdf5VideoStore, "group", locked)
    with pytest.raises(WriteError, match="another process"):
        check_video(0, folder)


def test_another_shard_in_the_place_of_one_is_refused_when_it_is_read(folder) -> None:
    one, two = (folder / name for name in shards_in(folder))
    shutil.copy(two, one)
    store = Hdf5VideoStore(folder)
    assert store.read(2, RGB, 0, 1).shape == (1, 6, 8, 3)
    with pytest.raises(VimixError, match=f"{one.name} is not the shard that the index was made of"):
        store.read(0, RGB, 0, 1)


def in_head(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda folder: change_head(folder / "index.h5", change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / shards_in(folder)[0]).unlink(), "its shard 00000-"),
        (lambda folder: (folder / "index.h5").unlink(), "the folder has no index.h5"),
        (in_head(lambda head: head["shards"][0].update(file="../store.h5")), "store.h5 is no file of the folder"),
        (in_head(lambda head: head["places"][3].__setitem__(1, 2)), "its places do not fit"),
    ],
)
def test_a_folder_that_is_no_whole_store_is_refused_in_one_line(folder, change, reason, capsys) -> None:
    assert "name its folder" in refused(capsys, "store", "info", folder / "index.h5")
    change(folder)
    assert reason in refused(capsys, "store", "info", folder)


def test_a_folder_with_other_stores_or_the_store_itself_is_not_overwritten(folder, tmp_path) -> None:
    (folder / "index.h5").unlink()
    with pytest.raises(VimixError, match="holds other HDF5 files"):
        split(tmp_path / "store.h5", folder, 5000, force=True)
    index(folder)
    with pytest.raises(VimixError, match="would be lost"):
        split(folder, folder, 5000, force=True)
    with pytest.raises(VimixError, match="would be lost"):
        merge(folder / shards_in(folder)[0], [folder], force=True)
    assert verify(folder, 1, QUIET)["bad"] == []


@pytest.mark.parametrize(("name", "file"), [("store.h5", "store.h5"), ("shards", "shards/index.h5")])
def test_the_settings_of_a_store_are_read_once_until_its_file_changes(
    folder, tmp_path, monkeypatch, name, file
) -> None:
    """Reading them parses the list of all videos, which takes long for a large store."""
    opened = []
    monkeypatch.setattr(recorded_settings, "Hdf5VideoStore", lambda path: opened.append(path) or Hdf5VideoStore(path))
    store = tmp_path / name
    assert store_settings(str(store)) == store_settings(str(store)) == Hdf5VideoStore(store).settings
    assert opened == [store]
    change_head(tmp_path / file, lambda head: head["settings"].update(short_side=77))
    assert store_settings(str(store)).short_side == 77
    assert opened == [store, store]
    (tmp_path / file).unlink()
    assert store_settings(str(store)) is None


def test_a_recipe_finds_the_same_videos_and_settings_in_shards_as_in_one_file(folder, tmp_path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(TINY.format(store=folder), encoding="utf-8")
    assert store_settings(str(folder)) == store_settings(str(tmp_path / "store.h5"))
    store = wiring.build_store(read_recipe(recipe, []))
    assert list(store.videos) == list(FakeVideoStore().videos)
    assert store.read(3, FLOW, 2, 4).shape == (4, 6, 8, 2)
