"""Stores of skeletons: what is kept, what is left out, and that a store is whole or absent."""

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console

from tests.fakes.skeletons import FIVE, ntu_text, write_walk
from vimix.values.errors import VimixError
from vimix.values.modality import BONE, JOINT, MOTION
from vimix_adapters.clips import skeleton_writer
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.datasets.skeleton_files import list_ntu
from vimix_adapters.files import replacing
from vimix_adapters.prepare import skeleton_store, worker_pool
from vimix_adapters.prepare.build_store import BuildResult, build_store
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.skeleton_store import SkeletonStoreBuilder
from vimix_adapters.prepare.store_info import describe, store_table
from vimix_adapters.prepare.store_tools import merge, verify
from vimix_adapters.skeletons.layouts import find_layout
from vimix_adapters.skeletons.preprocess import pack_file

QUIET = Console(quiet=True)
SETTINGS = SkeletonSettings(find_layout("ntu"), frames=16)


def prepare(
    folder: Path, store: Path, settings: SkeletonSettings = SETTINGS, workers: int = 1, a_part=64
) -> BuildResult:
    return build_store(list_ntu(folder, 60), store, SkeletonStoreBuilder(settings, a_part), LocalEngine(workers), QUIET)


@pytest.fixture
def folder(tmp_path):
    """20 samples: two cameras see ten performances; some have two bodies."""
    for number in range(20):
        name = f"S001C{1 + number % 2:03d}P{1 + number // 2:03d}R001A{1 + number % 3:03d}.skeleton"
        write_walk(tmp_path / "raw" / name, number, number % 3, frames=10 + number, bodies=1 + (number % 5 == 0))
    return tmp_path / "raw"


def test_a_folder_becomes_a_store_with_everything_by_name(folder, tmp_path) -> None:
    listing = list_ntu(folder, 60)
    report = prepare(folder, tmp_path / "s.h5")
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert (report.listed, report.stored, report.failures) == (20, 20, ())
    assert [video.name for video in store.videos] == [file.name for file in listing.files]
    assert set(store.formats) == {JOINT, MOTION, BONE}
    assert {kind.stored for kind in store.formats.values()} == {JOINT}
    assert store.formats[BONE].layout == find_layout("ntu")
    assert store.settings == SETTINGS
    assert len(store.classes) == 60
    for number, (video, file) in enumerate(zip(store.videos, listing.files, strict=True)):
        expected, recorded = pack_file(file.path, SETTINGS)
        assert np.array_equal(store.read(number, JOINT, 0, 16), expected)
        assert video.rate == pytest.approx(30 * 16 / recorded)
        assert store.classes[video.label] == file.class_name
    members = {split: set(store.members(split)) for split in store.splits}
    assert members["xsub-train"] | members["xsub-test"] == set(range(20))
    assert members["xview-test"] == {i for i, file in enumerate(listing.files) if "C001" in file.name}
    assert not list(tmp_path.glob(".*"))


def test_the_number_of_workers_changes_nothing(folder, tmp_path) -> None:
    (folder / "S001C003P001R001A001.skeleton").write_bytes(b"3\n")
    reports = [prepare(folder, tmp_path / f"{n}.h5", workers=n) for n in (1, 2)]
    assert reports[0] == reports[1]
    one, two = (Hdf5VideoStore(tmp_path / f"{n}.h5") for n in (1, 2))
    assert one.fingerprint == two.fingerprint
    assert (tmp_path / "1.quarantine.csv").read_text() == (tmp_path / "2.quarantine.csv").read_text()


def test_files_that_fail_are_left_out_with_the_reason_and_the_authors_own_are_no_failure(folder, tmp_path) -> None:
    (folder / "S001C003P002R001A001.skeleton").write_bytes(b"")
    (folder / "S001C003P003R001A001.skeleton").write_bytes(b"2\n1\n1 0\n")
    (folder / "S001C002P005R002A008.skeleton").write_bytes(b"")
    report = prepare(folder, tmp_path / "s.h5")
    assert (report.listed, report.stored) == (22, 20)
    with (tmp_path / "s.quarantine.csv").open(newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["S001C003P002R001A001.skeleton"] == "empty file"
    assert reasons["S001C003P003R001A001.skeleton"].startswith("line 3: expected the values of a body")
    assert "listed by the authors" in reasons["S001C002P005R002A008.skeleton"]
    assert Hdf5VideoStore(tmp_path / "s.h5").quarantined == 3


def test_a_file_whose_first_body_is_zero_throughout_is_left_out_and_costs_no_other(folder, tmp_path) -> None:
    empty_first = [(1, np.zeros((25, 3))), (2, np.ones((25, 3)))]
    (folder / "S001C003P002R001A001.skeleton").write_bytes(ntu_text([empty_first] * 4))
    alone = SkeletonSettings(find_layout("ntu"), frames=16, persons=1)
    report = prepare(folder, tmp_path / "s.h5", alone)
    assert (report.listed, report.stored) == (21, 20)
    (left_out,) = report.failures
    assert left_out.name == "S001C003P002R001A001.skeleton"
    assert "bodies are all zero" in left_out.reason


def test_a_full_disk_leaves_no_store_and_blames_no_file(folder, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(skeleton_writer, "write_head", full)
    with pytest.raises(VimixError, match="No space left"):
        prepare(folder, tmp_path / "s.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw", "s.h5.parts", "s.quarantine.csv"]
    monkeypatch.undo()
    assert prepare(folder, tmp_path / "s.h5").stored == 20


def test_files_with_the_joints_of_another_layout_are_refused(folder, tmp_path) -> None:
    with pytest.raises(VimixError, match="25 joints, the layout has 5"):
        prepare(folder, tmp_path / "s.h5", SkeletonSettings(FIVE))


def test_a_store_is_described(folder, tmp_path) -> None:
    prepare(folder, tmp_path / "s.h5")
    found = json.loads(json.dumps(describe(tmp_path / "s.h5")))
    assert found["modalities"]["bone"] == {
        "modality": "bone",
        "channels": 3,
        "bound": 0.0,
        "layout": "ntu",
        "derived_from": "joint",
        "score": False,
    }
    assert found["settings"]["layout"]["joints"][20] == "spine shoulders"
    assert SkeletonSettings(**found["settings"]) == SETTINGS
    console = Console(record=True, width=200, quiet=False, file=(tmp_path / "out").open("w"))
    console.print(store_table(describe(tmp_path / "s.h5")))
    assert "layout = ntu (25 joints around 'spine shoulders')" in console.export_text()


def test_sequences_lie_one_after_the_other(folder, tmp_path) -> None:
    """One contiguous array: a sequence of a large store is read in microseconds."""
    prepare(folder, tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["joint"].shape == (20, 16, 25, 2, 3)
        assert file["joint"].chunks is None
        assert file["joint"].id.get_offset() is not None


def end_all(whole: int = 0):
    """Once ``whole`` parts are finished, write half of the next, then kill the call and the worker with SIGKILL."""
    write = skeleton_store.write_skeleton_part

    def writing(path: Path, *arguments: object) -> None:
        if len(list(path.parent.glob("*.h5"))) < whole:
            write(path, *arguments)
            return
        with replacing(path) as half:
            half.write_bytes(b"half a part")
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    skeleton_store.write_skeleton_part = writing


def end_merging() -> None:
    """Kill the call when the array is written and its description is not."""
    skeleton_writer.write_head = lambda *_: os.kill(os.getpid(), signal.SIGKILL)


def call(folder: Path, store: Path, ends, a_part: int = 64) -> int:
    """Run the call in another process, with forked workers; returns its exit code."""

    def run() -> None:
        worker_pool._context = lambda _: multiprocessing.get_context("fork")
        ends()
        prepare(folder, store, workers=2, a_part=a_part)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode


def spoil(files: Sequence[Path]) -> None:
    """Overwrite the files with unreadable bytes of the same size and time."""
    for file in files:
        state = file.stat()
        file.write_bytes(b"?" * state.st_size)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_call_that_is_killed_over_and_over_goes_on_and_ends_in_the_store_of_an_unbroken_one(folder, tmp_path) -> None:
    """Files of finished parts are not read again: the test spoils them, and the store is right all the same."""
    store, files = tmp_path / "s.h5", sorted(folder.iterdir())
    assert call(folder, tmp_path / "unbroken.h5", lambda: None, 4) == 0
    for parts in (0, 1, 3):
        assert call(folder, store, partial(end_all, parts), 4) == -signal.SIGKILL
        found = describe(store)
        assert found["finished"] in (parts, parts + (parts > 0)), "another worker may have been done"
        assert (found["expected"], store.exists()) == (5, False)
        missing = {first.split()[0] for first in found["missing"]}
        spoil([file for first in range(0, 20, 4) if files[first].name not in missing for file in files[first:][:4]])
    assert call(folder, store, end_merging, 4) == -signal.SIGKILL
    assert not store.exists()
    spoil(files)
    assert call(folder, store, lambda: None, 4) == 0
    assert store.read_bytes() == (tmp_path / "unbroken.h5").read_bytes()
    names = ["raw", "s.h5", "s.quarantine.csv", "unbroken.h5", "unbroken.quarantine.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def failing(path: Path, how: SkeletonSettings, part: str):
    """Fail for one file, as an unreliable disk does."""
    if path.name == "S001C001P002R001A003.skeleton":
        raise VimixError("input/output error")
    return pack_file(path, how, part)


@pytest.mark.slow
def test_a_part_in_which_a_file_failed_or_has_changed_is_read_again(folder, tmp_path) -> None:
    def ends() -> None:
        skeleton_store.pack_file = failing
        end_merging()

    store, changed = tmp_path / "s.h5", folder / "S001C001P004R001A001.skeleton"
    for _ in range(2):
        assert call(folder, store, ends) == -signal.SIGKILL
        assert "input/output error" in (tmp_path / "s.quarantine.csv").read_text()
    assert call(folder, store, end_merging) == -signal.SIGKILL
    write_walk(changed, 99, 0)
    report = prepare(folder, store)
    assert (report.stored, report.failures) == (20, ())
    number = [video.name for video in Hdf5VideoStore(store).videos].index(changed.name)
    expected, _ = pack_file(changed, SETTINGS)
    assert np.array_equal(Hdf5VideoStore(store).read(number, JOINT, 0, 16), expected)


def test_parts_of_other_settings_are_refused(folder, tmp_path) -> None:
    assert call(folder, tmp_path / "s.h5", end_merging) == -signal.SIGKILL
    with pytest.raises(VimixError, match="made with other settings"):
        prepare(folder, tmp_path / "s.h5", SkeletonSettings(find_layout("ntu")))


@pytest.mark.slow
def test_damage_to_a_store_of_skeletons_is_found_and_it_is_no_store_of_videos(folder, tmp_path) -> None:
    path = tmp_path / "s.h5"
    prepare(folder, path)
    assert verify(path, 1, QUIET)["bad"] == []
    with h5py.File(path, "r+") as file:
        file["joint"][3, 2, 1, 0, 0] += 1
    (bad,) = verify(path, 1, QUIET)["bad"]
    assert bad["video"] == Hdf5VideoStore(path).videos[3].name
    assert "checksum" in bad["reason"]
    with pytest.raises(VimixError, match="holds skeletons: this needs a store of videos"):
        merge(tmp_path / "m.h5", [path, path])
