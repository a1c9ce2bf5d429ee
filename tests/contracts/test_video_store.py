"""The contract of video stores, run on the fake, on the HDF5 file with both codecs, and on a folder of shards."""

import multiprocessing
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.builders import hdf5, in_shards
from tests.fakes.store import FakeVideoStore
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB


def fake(_: Path) -> VideoStore:
    return FakeVideoStore()


KINDS = {"fake": fake, "raw": partial(hdf5, codec="raw"), "jpeg": partial(hdf5, codec="jpeg"), "shards": in_shards}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
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
