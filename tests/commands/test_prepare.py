"""``vimix prepare folder``: lists, workers that hang or die, interruption, and what is left out."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from attrs import asdict, evolve
from rich.console import Console

from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.listing import source_of
from vimix_adapters.files import WriteError
from vimix_adapters.prepare.build_store import BuildResult, build_store
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.parts import claim_parts, parts_of
from vimix_adapters.prepare.video_store import VideoStoreBuilder, pack_frames

SMALL = PackSettings(short_side=32, flow="dis", flow_short_side=32, codec="raw")
OTHER = PackSettings(short_side=48, flow="none")
QUIET = Console(quiet=True)


def prepare(folder: Path, store: Path, settings: PackSettings = SMALL) -> BuildResult:
    return build_store(list_folder(folder), store, VideoStoreBuilder(settings, 60), LocalEngine(1), QUIET)


@pytest.fixture
def videos(tmp_path) -> Path:
    for name in ("bow/a.mp4", "bow/b.mp4", "bow/c.mp4", "wave/d.mp4", "wave/e.mp4"):
        write_video(tmp_path / "videos" / name, moving_square(12))
    return tmp_path / "videos"


def test_a_folder_becomes_a_store_with_everything_by_name(videos, tmp_path) -> None:
    report = prepare(videos, tmp_path / "s.h5")
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert (report.listed, report.stored, report.failures) == (5, 5, ())
    assert [video.name for video in store.videos] == ["bow/a.mp4", "bow/b.mp4", "bow/c.mp4", "wave/d.mp4", "wave/e.mp4"]
    assert [store.classes[video.label] for video in store.videos] == ["bow"] * 3 + ["wave"] * 2
    assert sorted([*store.members("train"), *store.members("test")]) == list(range(5))
    assert store.settings == SMALL
    expected, decoded = pack_frames(videos / "bow/a.mp4", SMALL)
    assert decoded.rate == 30
    for modality in (RGB, FLOW):
        assert np.array_equal(store.read(0, modality, 0, 12), expected[modality])
    assert not (tmp_path / "s.h5.parts").exists()
    assert (tmp_path / "s.quarantine.csv").read_text() == "path,reason,again\n"


def test_files_that_fail_are_left_out_and_listed_with_the_reason(videos, tmp_path) -> None:
    whole = (videos / "bow/a.mp4").read_bytes()
    (videos / "bow/cut.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "bow/empty.mp4").write_bytes(b"")
    os.mkfifo(videos / "wave/fifo.mp4")
    report = prepare(videos, tmp_path / "s.h5")
    with (tmp_path / "s.quarantine.csv").open(newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"bow/cut.mp4", "bow/empty.mp4", "wave/fifo.mp4"}
    assert reasons["bow/empty.mp4"] == "empty file"
    assert (report.listed, report.stored) == (8, 5)
    assert Hdf5VideoStore(tmp_path / "s.h5").quarantined == 3


def test_a_second_call_does_nothing_twice_and_refuses_other_settings(videos, tmp_path) -> None:
    store = tmp_path / "s.h5"
    prepare(videos, store)
    before = store.read_bytes()
    assert prepare(videos, store).stored == 5
    assert store.read_bytes() == before
    with pytest.raises(VimixError, match=r"s\.h5 exists and was made with other settings: .*--force"):
        prepare(videos, store, OTHER)
    listing = list_folder(videos)
    relabelled = tuple(evolve(file, class_name="bow") for file in listing.files)
    for files, what in ((listing.files[:3], "files"), (relabelled, "labels, sources or splits")):
        with pytest.raises(VimixError, match=f"other {what}"):
            build_store(evolve(listing, files=files), store, VideoStoreBuilder(SMALL), LocalEngine(1), QUIET)


def test_a_call_with_nothing_to_do_removes_left_over_parts_of_its_own_settings_only(videos, tmp_path) -> None:
    store = tmp_path / "s.h5"
    prepare(videos, store)
    for settings, kept in ((OTHER, True), (SMALL, False)):
        shutil.rmtree(parts_of(store), ignore_errors=True)
        claim_parts(parts_of(store), asdict(settings), {})
        prepare(videos, store)
        assert parts_of(store).exists() == kept


@pytest.mark.slow
def test_force_replaces_a_store_parts_of_other_settings_and_any_other_file_but_no_input(videos, tmp_path) -> None:
    store, other = tmp_path / "s.h5", tmp_path / "notes.txt"
    prepare(videos, store)
    other.write_text("mine")
    with pytest.raises(VimixError, match=r"notes\.txt.*--force"):
        prepare(videos, other)
    builder = VideoStoreBuilder(OTHER)
    claim_parts(parts_of(store), {"short_side": 16}, {})
    for path in (store, other):
        assert build_store(list_folder(videos), path, builder, LocalEngine(1), QUIET, force=True).stored == 5
        assert Hdf5VideoStore(path).settings == OTHER
    with pytest.raises(VimixError, match=r"a\.mp4 is read by this command"):
        build_store(list_folder(videos), videos / "bow/a.mp4", builder, LocalEngine(1), QUIET, force=True)
    with pytest.raises(WriteError, match="Is a directory"):
        build_store(list_folder(videos), videos, builder, LocalEngine(1), QUIET, force=True)


def test_a_split_file_decides_classes_splits_and_sources(videos, tmp_path) -> None:
    (tmp_path / "split.csv").write_text("path,label,split,source\nbow/a.mp4,x,train,s1\nwave/d.mp4,y,test,s1\n")
    listed = list_folder(videos, tmp_path / "split.csv").files
    assert [(v.name, v.class_name, v.splits, v.source) for v in listed] == [
        ("bow/a.mp4", "x", ("train",), "s1"),
        ("wave/d.mp4", "y", ("test",), "s1"),
    ]


def test_without_a_list_siblings_stay_together_and_both_splits_have_every_class(tmp_path) -> None:
    for group in range(1, 6):
        for clip in range(1, 4):
            path = tmp_path / "Kick" / f"v_Kick_g{group:02d}_c{clip:02d}.avi"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    listed = list_folder(tmp_path).files
    by_source = {source: {v.splits for v in listed if v.source == source} for source in {v.source for v in listed}}
    assert len(by_source) == 5
    assert all(len(splits) == 1 for splits in by_source.values())
    assert {v.splits for v in listed} == {("train",), ("test",)}
    assert list_folder(tmp_path).files == listed


@pytest.mark.parametrize(
    ("name", "source"),
    [("A/v_HandStand_g07_c02.avi", "v_handstand_g07"), ("A/clip one.mp4", "A/clip one"), ("A/B/x.y.mkv", "A/B/x.y")],
)
def test_a_clips_source_is_its_recording(name, source) -> None:
    assert source_of(name) == source


def test_an_empty_folder_is_refused(tmp_path) -> None:
    with pytest.raises(VimixError, match="found none"):
        list_folder(tmp_path)
