"""``vimix store verify``, ``merge``, ``export`` and ``info``; readers in many processes, and a full disk."""

import json
import multiprocessing
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from rich.console import Console

from tests.builders import SETTINGS, SQUARES, change_head, hdf5, no_file_longer_than, shard
from tests.cli import printed, refused, vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, checksum_of
from vimix_adapters.clips.hdf5_head import fingerprint
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.files import WriteError, replacing, require_new, sweep
from vimix_adapters.flow.fields import flow_colours, full_speed, quantise
from vimix_adapters.prepare.build_store import build_store
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.quarantine import quarantine_file
from vimix_adapters.prepare.store_info import describe
from vimix_adapters.prepare.store_tools import export, merge, verify
from vimix_adapters.prepare.video_store import VideoStoreBuilder

QUIET = Console(quiet=True)


# Verification


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_sound_store_is_found_sound(tmp_path, codec) -> None:
    hdf5(tmp_path, codec)
    found = verify(tmp_path / "store.h5", 1, QUIET)
    assert found["videos"] == 4
    assert found["modalities"] == [RGB, FLOW]
    assert found["bad"] == []


def damage(kind: str, file: h5py.File) -> None:
    group = file["videos/00000002"]
    if kind == "a flipped bit":
        group["flow"][3] = group["flow"][3] ^ 1
    elif kind == "no picture":
        group["rgb"][:] = 0
        group["rgb"].attrs["checksum"] = checksum_of(group, RGB)
    elif kind == "a lost modality":
        del group["flow"], group["flow.ends"]
    elif kind == "lost frames":
        ends = group["rgb.ends"][:3]
        del group["rgb.ends"]
        group["rgb.ends"] = ends
    elif kind == "a lost checksum":
        del group["rgb"].attrs["checksum"]
    elif kind == "a lost video":
        del file["videos/00000002"]
    elif kind == "data of another file":
        size = len(group["rgb"])
        Path(f"{file.filename}.txt").write_bytes(b"x" * size)
        del group["rgb"]
        group.create_dataset("rgb", shape=(size,), dtype="u1", external=[(f"{file.filename}.txt", 0, size)])
    elif kind == "a link":
        del group["rgb"]
        group["rgb"] = h5py.SoftLink("/videos/00000001/rgb")
    elif kind == "numbers for bytes":
        size = len(group["rgb"])
        del group["rgb"]
        group["rgb"] = np.full(size, np.nan, dtype="f4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("a flipped bit", "flow: its bytes are not those that were written"),
        ("no picture", "a frame is not a JPEG picture"),
        ("a lost modality", "flow: missing"),
        ("lost frames", "rgb: the list of videos claims more frames than are stored: 9, the limit is 3"),
        ("a lost checksum", "rgb: its checksum is missing"),
        ("data of another file", "rgb: expected data in the store itself"),
        ("a link", "rgb: expected data in the store itself"),
        ("numbers for bytes", "rgb: expected bytes (uint8), found float32"),
        ("a lost video", "cannot be read"),
    ],
)
def test_damage_is_found_and_the_video_named(tmp_path, capsys, kind, reason) -> None:
    hdf5(tmp_path, "jpeg")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        damage(kind, file)
    assert vimix("store", "verify", tmp_path / "store.h5", "--json", "--workers", "1") == 3
    found = json.loads(capsys.readouterr().out)
    assert [bad["video"] for bad in found["bad"] if bad["video"]] == ["2.mp4"]
    assert reason in next(bad["reason"] for bad in found["bad"] if bad["video"])


@pytest.mark.slow
def test_exchanged_pixels_are_found(tmp_path, capsys) -> None:
    hdf5(tmp_path, "raw")
    store = tmp_path / "store.h5"
    with h5py.File(store, "r+") as file:
        one, two = file["videos/00000000"], file["videos/00000001"]
        for modality in ("rgb", "flow"):
            file.move(f"{one.name}/{modality}", "kept")
            file.move(f"{two.name}/{modality}", f"{one.name}/{modality}")
            file.move("kept", f"{two.name}/{modality}")
    assert vimix("store", "verify", store, "--json", "--workers", "1") == 3
    bad = json.loads(capsys.readouterr().out)["bad"]
    assert sum("written together" in finding["reason"] for finding in bad) == 2


def test_data_of_another_file_are_neither_read_nor_merged(tmp_path, capsys) -> None:
    hdf5(tmp_path, "raw")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        damage("data of another file", file)
    store = Hdf5VideoStore(tmp_path / "store.h5")
    with pytest.raises(VimixError, match="expected data in the store itself"):
        store.read(2, RGB, 0, 1)
    assert vimix("store", "merge", tmp_path / "merged.h5", tmp_path / "store.h5") == 2
    assert "expected data in the store itself" in capsys.readouterr().err
    assert not (tmp_path / "merged.h5").exists()


@pytest.mark.parametrize("key", ["videos", "splits"])
def test_a_store_whose_list_was_changed_does_not_fit_its_fingerprint(tmp_path, capsys, key) -> None:
    hdf5(tmp_path, "raw")
    changes = {"videos": lambda videos: videos[0].update(label=1), "splits": lambda splits: splits["test"].pop()}
    change_head(tmp_path / "store.h5", lambda head: changes[key](head[key]))
    assert vimix("store", "verify", tmp_path / "store.h5", "--workers", "1") == 3
    assert "does not fit the fingerprint" in capsys.readouterr().out


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


def test_what_is_no_store_is_an_error_not_a_finding(tmp_path, capsys) -> None:
    whole = shard(tmp_path / "s.h5", ["a/0", "b/0"]).read_bytes()
    (tmp_path / "s.h5").write_bytes(whole[: len(whole) // 2])
    assert "does not open" in refused(capsys, "store", "verify", tmp_path / "s.h5")


# Merging


def test_shards_become_the_store_that_one_call_would_have_made(tmp_path) -> None:
    whole = Hdf5VideoStore(shard(tmp_path / "whole.h5", list(SQUARES)))
    one, two = shard(tmp_path / "1.h5", ["b/0", "a/0"]), shard(tmp_path / "2.h5", ["b/1", "a/1"])
    made = merge(tmp_path / "out.h5", [one, two])
    assert list(made.videos) == list(whole.videos)
    assert made.fingerprint == whole.fingerprint
    assert made.quarantined == 2
    for number, video in enumerate(made.videos):
        assert np.array_equal(made.read(number, RGB, 0, video.frames), whole.read(number, RGB, 0, video.frames))
    assert verify(tmp_path / "out.h5", 1, QUIET)["bad"] == []


def test_a_video_in_two_shards_must_be_the_same_and_is_in_the_splits_of_both(tmp_path) -> None:
    one = shard(tmp_path / "1.h5", ["a/0", "a/1"], splits=("train1",))
    two = shard(tmp_path / "2.h5", ["a/1", "b/0"], splits=("test2",))
    made = merge(tmp_path / "out.h5", [one, two])
    assert [video.name for video in made.videos] == ["a/0", "a/1", "b/0"]
    assert {name: list(made.members(name)) for name in made.splits} == {"train1": [0, 1], "test2": [1, 2]}
    changed = {**SQUARES, "a/1": SQUARES["a/1"][::-1]}
    three = shard(tmp_path / "3.h5", ["a/1"], pictures=changed)
    with pytest.raises(VimixError, match=r"a/1 is in .*1\.h5 and .*3\.h5, but not the same"):
        merge(tmp_path / "other.h5", [one, three])
    assert not (tmp_path / "other.h5").exists()


def test_other_settings_or_classes_and_an_existing_store_are_refused(tmp_path) -> None:
    one = shard(tmp_path / "1.h5", ["a/0"])
    raw = shard(tmp_path / "2.h5", ["a/1"], settings=PackSettings(32, "none", 32, codec="raw"))
    with pytest.raises(VimixError, match=r"different settings \(codec jpeg and raw\)"):
        merge(tmp_path / "out.h5", [one, raw])
    other = shard(tmp_path / "3.h5", ["a/1"], classes=("a", "c"))
    with pytest.raises(VimixError, match=r"differ in their classes \(b, c\)"):
        merge(tmp_path / "out.h5", [one, other])
    with pytest.raises(VimixError, match="is read by this command"):
        merge(one, [one, one], force=True)
    with pytest.raises(VimixError, match="other name, or replace it with --force"):
        merge(other, [one])
    assert len(merge(other, [one], force=True).videos) == 1


# Export


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_video_comes_back_as_a_playable_file(tmp_path, capsys) -> None:
    pictures = moving_square(7, 33, 45)  # odd sides
    path = shard(tmp_path / "s.h5", ["a/0"], pictures={"a/0": pictures})
    assert "7 frames at 30 a second" in printed(capsys, "store", "export", path, "a/0", "--out", tmp_path / "a.mp4")
    shown = decoded(tmp_path / "a.mp4")
    assert shown.shape == (7, 34, 46, 3)
    inside = np.abs(shown[:, :33, :45].astype(int) - pictures)
    assert inside.mean() < 25  # noise of random colours, halved by the file's own colour resolution
    brightness = np.corrcoef(shown[:, :16, :16].mean((1, 2, 3)), pictures[:, :16, :16].mean((1, 2, 3)))[0, 1]
    assert brightness > 0.999  # the frames are in their order


def test_flow_is_drawn_as_direction_and_speed(tmp_path) -> None:
    ways = {"right": (4, 0), "down": (0, 4), "left": (-4, 0), "up": (0, -4), "slow": (2, 0), "still": (0, 0)}
    fields = np.array(list(ways.values()), dtype=np.float32).reshape(6, 1, 1, 2) * np.ones((1, 8, 8, 1), np.float32)
    colours = dict(zip(ways, flow_colours(fields, 4.0)[:, 0, 0].tolist(), strict=True))
    assert colours["right"] == [255, 0, 0]
    assert colours["left"] == [0, pytest.approx(255, abs=4), 255]
    assert colours["down"][:2] == [pytest.approx(128, abs=4), 255]
    assert colours["up"][1:] == [pytest.approx(0, abs=4), 255]
    assert colours["slow"] == [128, 0, 0]
    assert colours["still"] == [0, 0, 0]
    assert full_speed(fields[:5]) == pytest.approx(4)
    assert full_speed(fields * 0) == 1.0


def test_a_videos_flow_is_exported_and_unknown_names_are_refused_with_help(tmp_path) -> None:
    settings = PackSettings(short_side=32, flow="dis", flow_short_side=32, codec="raw", flow_bound=8.0)
    motion = quantise(np.full((6, 32, 40, 2), (4.0, 0.0), dtype=np.float32), 8.0)
    write_part(tmp_path / "p", {RGB: moving_square(6, 32, 40), FLOW: motion}, 29.97, settings)
    merge_parts(tmp_path / "s.h5", [Entry(tmp_path / "p", "bow/x.mp4", 0, "x", ())], ["bow"], settings, 0)
    message = export(tmp_path / "s.h5", "0", tmp_path / "f.mp4", FLOW)
    assert "4.0 pixels a frame at full brightness" in message
    with pytest.raises(VimixError, match=r"f\.mp4 exists: .*--force"):
        export(tmp_path / "s.h5", "0", tmp_path / "f.mp4", FLOW)
    assert export(tmp_path / "s.h5", "0", tmp_path / "f.mp4", FLOW, force=True) == message
    red = decoded(tmp_path / "f.mp4").mean((0, 1, 2))
    assert red[0] > 230
    assert red[1:].max() < 40
    with av.open(str(tmp_path / "f.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97, abs=0.01)
    with pytest.raises(VimixError, match=r"no video 'X\.avi': expected a name such as bow/x\.mp4"):
        export(tmp_path / "s.h5", "X.avi", tmp_path / "g.mp4", RGB)


# How far an unfinished store is


@pytest.mark.slow
def test_info_says_how_far_an_unfinished_store_is(tmp_path, capsys, monkeypatch) -> None:
    for name in ("bow/a.mp4", "bow/b.mp4", "wave/c.mp4"):
        write_video(tmp_path / "videos" / name, moving_square(6))
    listing = list_folder(tmp_path / "videos")

    def stop(*arguments) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vimix_adapters.prepare.video_store.merge_parts", stop)
    with pytest.raises(KeyboardInterrupt):
        build_store(listing, tmp_path / "s.h5", VideoStoreBuilder(SETTINGS, 60), LocalEngine(1), QUIET)
    sorted((tmp_path / "s.h5.parts").glob("*.h5"))[0].unlink()
    found = describe(tmp_path / "s.h5")
    assert (found["unfinished"], found["finished"], found["expected"]) == (True, 2, 3)
    assert len(found["missing"]) == 1
    assert "2 of 3 videos are finished" in " ".join(printed(capsys, "store", "info", tmp_path / "s.h5").split())
    monkeypatch.undo()
    assert build_store(listing, tmp_path / "s.h5", VideoStoreBuilder(SETTINGS, 60), LocalEngine(1), QUIET).stored == 3


# Readers


def open_files(path: Path) -> int:
    return sum(descriptor.resolve() == path for descriptor in Path("/proc/self/fd").iterdir())


def look(store: Hdf5VideoStore, path: Path, pipe) -> None:
    before = open_files(path)
    store.read(0, RGB, 0, 2)
    pipe.send((before, open_files(path)))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_forked_reader_inherits_no_handle_and_the_parents_stays_open(tmp_path) -> None:
    store, path = hdf5(tmp_path, "raw"), (tmp_path / "store.h5").resolve()
    store.read(0, RGB, 0, 2)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=look, args=(store, path, there))
    child.start()
    there.close()
    assert here.recv() == (0, 1)
    child.join()
    assert open_files(path) == 1
    store.read(0, RGB, 0, 2)
    assert open_files(path) == 1


@pytest.mark.slow
def test_memory_does_not_grow_with_reads(tmp_path) -> None:
    """Four thousand reads after as many to warm up. The records have a measurement of a hundred thousand."""
    hdf5(tmp_path, "jpeg")
    script = """
import resource, sys
from pathlib import Path
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
store = Hdf5VideoStore(Path(sys.argv[1]))
for turn in range(2):
    before = resident()
    for i in range(4_000):
        store.read(i % 4, ("rgb", "flow")[i % 2], i % 7, 2)
print(resident() - before)
"""
    grown = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store.h5")], capture_output=True, text=True, check=True
    )
    assert int(grown.stdout) < 2**20


# A full disk


RAW = PackSettings(short_side=64, flow="none", flow_short_side=64, codec="raw")


@pytest.mark.slow
def test_a_disk_that_runs_full_blames_no_video_and_after_freeing_the_store_is_that_of_an_unbroken_run(
    small_disk, tmp_path, capsys
) -> None:
    for i in range(4):
        write_video(tmp_path / f"videos/c/{i}.mp4", moving_square(30, 64, 64))  # 360 KiB raw each
    listing, store = list_folder(tmp_path / "videos"), small_disk / "s.h5"
    builder = VideoStoreBuilder(RAW, 60)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 3 * 2**20)  # a part takes its size twice while it is written
    with pytest.raises(WriteError, match="No space left"):
        build_store(listing, store, builder, LocalEngine(1), QUIET)  # a part does not fit
    assert not quarantine_file(store).exists()
    finished = len(list((small_disk / "s.h5.parts").glob("*.h5")))
    assert 1 <= finished < 4
    ballast.write_bytes(b"x" * 2 * 2**20)
    with pytest.raises(WriteError, match=r"about .* GiB are needed"):
        build_store(
            listing, store, builder, LocalEngine(1), QUIET
        )  # the parts fit on the disk, but not parts and store
    assert not store.exists()
    ballast.unlink()
    assert build_store(listing, store, builder, LocalEngine(1), QUIET).failures == ()
    assert not list(small_disk.glob(".*.tmp"))
    build_store(listing, tmp_path / "unbroken.h5", builder, LocalEngine(1), QUIET)
    assert Hdf5VideoStore(store).fingerprint == Hdf5VideoStore(tmp_path / "unbroken.h5").fingerprint
    assert verify(store, 1, QUIET)["bad"] == []


@pytest.mark.parametrize("limit", [600_000, 981_000])
def test_a_limit_on_the_size_of_files_while_merging_leaves_the_parts_and_no_store(tmp_path, limit) -> None:
    """The limit acts like a full disk early and late in writing. HDF5's errors must not count as those of bad input."""
    pictures = {f"a/{i}": moving_square(20, 64, 64) for i in range(4)}
    with no_file_longer_than(limit), pytest.raises(WriteError, match=r"s\.h5 cannot be written: File too large"):
        shard(tmp_path / "s.h5", list(pictures), settings=RAW, pictures=pictures)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"s.{i}.part" for i in range(4)]


@pytest.mark.parametrize("swept", [sweep, partial(require_new, force=True)])
def test_temporary_files_of_killed_processes_are_swept_and_those_of_living_ones_stay(tmp_path, swept) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with replacing(tmp_path / "s.h5") as mine:
        mine.write_bytes(b"whole")
    dead, living = (mine.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{n}.")) for n in (gone.pid, os.getppid()))
    foreign = mine.with_name(f".s.h5.elsewhere-{gone.pid}.tmp")
    for left in (dead, living, foreign):
        left.write_bytes(b"half")
    swept(tmp_path / "s.h5")
    assert [left.exists() for left in (dead, living, foreign)] == [False, True, True]
    assert (tmp_path / "s.h5").read_bytes() == b"whole"
