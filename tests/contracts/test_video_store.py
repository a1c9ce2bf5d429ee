"""The contract of video stores, run on the fake and on the HDF5 file with both codecs."""

import multiprocessing
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.fakes.store import FakeVideoStore
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings


def fake(_: Path) -> VideoStore:
    return FakeVideoStore()


def hdf5(folder: Path, codec: str) -> VideoStore:
    """Write the fake's content to a file."""
    model, settings, entries = FakeVideoStore(), PackSettings(codec=codec, flow="dis"), []
    for number, video in enumerate(model.videos):
        frames = {m: model.read(number, m, 0, video.frames) for m in model.formats}
        part = folder / f"{number}.part"
        write_part(part, frames, video.rate, settings)
        splits = tuple(split for split in model.splits if number in model.members(split))
        entries.append(Entry(part, video.name, video.label, video.source, splits))
    merge_parts(folder / "store.h5", entries, model.classes, settings, quarantined=0)
    return Hdf5VideoStore(folder / "store.h5")


@pytest.fixture(params=[fake, partial(hdf5, codec="raw"), partial(hdf5, codec="jpeg")], ids=["fake", "raw", "jpeg"])
def store(request, tmp_path):
    return request.param(tmp_path)


def frame(store: VideoStore, video: int, modality: str) -> int:
    return int(store.read(video, modality, 4, 1)[0, 0, 0, 0])


def test_a_store_lists_videos_classes_and_formats(store) -> None:
    model = FakeVideoStore()
    assert list(store.videos) == list(model.videos)
    assert list(store.classes) == ["bow", "wave"]
    assert {m: (f.channels, f.bound) for m, f in store.formats.items()} == {RGB: (3, 0.0), FLOW: (2, 20.0)}
    assert store.fingerprint


def test_splits_are_members_by_name_and_unknown_ones_are_refused(store) -> None:
    assert set(store.splits) == {"train", "test"}
    assert list(store.members("test")) == [0]
    assert list(store.members("train")) == [1, 2, 3]
    with pytest.raises(VimixError, match=r"no split 'val'.*test, train"):
        store.members("val")


@pytest.mark.parametrize("modality", [RGB, FLOW])
def test_any_run_of_frames_is_read_as_it_was_written(store, modality) -> None:
    whole = store.read(2, modality, 0, 9)
    assert whole.dtype == np.uint8
    assert whole.shape == (9, 6, 8, 3 if modality == RGB else 2)
    np.testing.assert_allclose(whole.mean(axis=(1, 2, 3)), np.arange(9) + 2, atol=1)
    for start in range(9):
        for count in range(1, 10 - start):
            assert np.array_equal(store.read(2, modality, start, count), whole[start : start + count])


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (8, 2), (9, 1), (0, 0), (0, 10)])
def test_a_run_outside_the_video_is_refused(store, start, count) -> None:
    with pytest.raises(IndexError, match="9 frames"):
        store.read(0, RGB, start, count)


def test_a_store_that_was_used_can_be_pickled(store) -> None:
    expected = frame(store, 3, RGB)
    assert frame(pickle.loads(pickle.dumps(store)), 3, RGB) == expected


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_processes_of_either_kind_read_what_the_parent_reads(store, method) -> None:
    expected = [frame(store, video, RGB) for video in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(frame, [(store, video, RGB) for video in range(4)]) == expected
    assert frame(store, 0, FLOW) == expected[0]
