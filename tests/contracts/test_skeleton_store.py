"""The contract of stores of skeletons, run on the fake, on the HDF5 file and on a folder of such files."""

import multiprocessing
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.fakes.skeletons import FIVE, FakeSkeletonStore
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import BONE, JOINT, MOTION
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.skeleton_writer import SkeletonEntry, write_skeleton_part, write_skeleton_store
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.prepare.store_tools import index

MODEL = FakeSkeletonStore()


def fake(_: Path) -> VideoStore:
    return MODEL


def hdf5(folder: Path, numbers: range = range(MODEL.count)) -> VideoStore:
    """Write the fake's content, or some of its videos, to a file."""
    settings = SkeletonSettings(FIVE, frames=MODEL.length)
    sequences, entries = [MODEL.sequence(number) for number in numbers], []
    parts = [folder / "one", folder / "none", folder / "two"]
    for part, some in zip(parts, (slice(0, 4), slice(4, 4), slice(4, None)), strict=True):
        write_skeleton_part(part, sequences[some], [MODEL.length] * len(sequences[some]), settings)
    for number in numbers:
        video = MODEL.videos[number]
        splits = tuple(split for split in MODEL.splits if number in MODEL.members(split))
        entries.append(SkeletonEntry(video.name, video.label, video.source, splits, video.rate))
    path = folder / f"s{numbers.start or ''}.h5"
    write_skeleton_store(path, parts, entries, MODEL.classes, settings, 0)
    return Hdf5VideoStore(path)


def in_shards(folder: Path) -> VideoStore:
    """Write the fake's content to two files and an index."""
    for numbers in (range(6, MODEL.count), range(6)):
        hdf5(folder, numbers)
    return index(folder)


@pytest.fixture(params=[fake, hdf5, in_shards])
def store(request, tmp_path):
    return request.param(tmp_path)


def test_numbers_that_are_not_finite_are_the_datas_fault_not_that_of_a_training(tmp_path) -> None:
    store = hdf5(tmp_path)
    store.close()
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["joint"][1, 2, 0, 0, 0] = np.nan
    with pytest.raises(VimixError, match=r"s\.h5: .* cannot be read: the data hold numbers that are not finite"):
        store.read(1, JOINT, 0, 12)
    assert np.isfinite(store.read(0, JOINT, 0, 12)).all()


def total(store: VideoStore, video: int) -> float:
    return float(store.read(video, JOINT, 0, 12).sum(dtype=np.float64))


def test_a_store_lists_videos_classes_splits_and_formats(store) -> None:
    assert list(store.videos) == list(MODEL.videos)
    assert list(store.classes) == ["bow", "wave"]
    assert {split: list(store.members(split)) for split in store.splits} == {
        s: list(MODEL.members(s)) for s in MODEL.splits
    }
    assert set(store.formats) == {JOINT, MOTION, BONE}
    assert all((kind.layout, kind.stored, kind.channels) == (FIVE, JOINT, 3) for kind in store.formats.values())
    assert store.fingerprint
    with pytest.raises(VimixError, match="no split 'val'"):
        store.members("val")


def test_any_run_of_frames_is_read_as_it_was_written(store) -> None:
    for video in range(10):
        whole = store.read(video, JOINT, 0, 12)
        assert (whole.shape, whole.dtype) == ((12, 5, 2, 3), np.float32)
        assert np.array_equal(whole, MODEL.sequence(video))
        assert np.array_equal(store.read(video, JOINT, 3, 4), whole[3:7])


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (11, 2), (12, 1), (0, 0), (0, 13)])
def test_a_run_outside_the_sequence_is_refused(store, start, count) -> None:
    with pytest.raises(IndexError, match="12 frames"):
        store.read(0, JOINT, start, count)


def test_a_derived_modality_is_not_stored(store) -> None:
    with pytest.raises(VimixError, match="motion"):
        store.read(0, MOTION, 0, 1)


def test_a_store_that_was_used_can_be_pickled_and_read_in_other_processes(store) -> None:
    expected = [total(store, video) for video in range(4)]
    assert total(pickle.loads(pickle.dumps(store)), 3) == expected[3]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(total, [(store, video) for video in range(4)]) == expected
    assert total(store, 0) == expected[0]
