"""Videos that are read, packed and given flow in pieces: the same content, and memory that does not grow."""

import fcntl
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from attrs import evolve

from tests.builders import shard
from tests.fakes.store import moving_square, write_video
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.decode import PIECE
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import is_part, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.files import WriteError
from vimix_adapters.flow.fields import FlowOfPieces, flow_fields
from vimix_adapters.flow.opencv import DisFlow
from vimix_adapters.prepare.build_store import PartJob
from vimix_adapters.prepare.video_store import pack_frames, write_part_of_video

SETTINGS = PackSettings(short_side=32, flow="dis", flow_short_side=32)


def job(video: Path, part: Path) -> PartJob:
    return PartJob((DatasetFile(video, video.name, None, "source", ("train",)),), part)


@pytest.mark.parametrize("length", [1, PIECE, PIECE + 9])
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_part_that_is_written_in_pieces_is_that_of_the_whole_video(tmp_path, length, codec) -> None:
    settings = evolve(SETTINGS, codec=codec)
    write_video(tmp_path / "a.mp4", moving_square(length, 32, 40))
    write_part_of_video(job(tmp_path / "a.mp4", tmp_path / "pieces"), settings)
    whole, reading = pack_frames(tmp_path / "a.mp4", settings)
    assert whole[RGB].shape[0] == whole[FLOW].shape[0] == reading.file_frames == length
    write_part(tmp_path / "whole", whole, reading.rate, settings)
    with h5py.File(tmp_path / "pieces") as pieces, h5py.File(tmp_path / "whole") as expected:
        assert dict(pieces["video"].attrs) == dict(expected["video"].attrs), "frames, rate and checksum"


def test_flow_of_pieces_of_any_size_is_that_between_all_neighbours() -> None:
    frames = moving_square(9, 32, 40)
    whole = flow_fields(frames, DisFlow(), 32, (32, 40), 20.0)
    assert len(whole) == 9
    for size in (1, 2, 4, 9):
        flow = FlowOfPieces(DisFlow(), 32, (32, 40), 20.0)
        pieces = [flow.add(frames[start : start + size]) for start in range(0, 9, size)]
        assert np.array_equal(np.concatenate([*pieces, flow.end()]), whole)


def peak_bytes(video: Path, settings: PackSettings) -> int:
    tracemalloc.start()
    write_part_of_video(job(video, video.with_suffix(".part")), settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_a_video_four_times_as_long_takes_no_more_memory(tmp_path, monkeypatch) -> None:
    """Compared are videos of more than one piece: while a piece is written, the next one is read."""
    monkeypatch.setattr("vimix_adapters.clips.hdf5.RUN_BYTES", 2**16)  # so small a video is written in one run else
    settings = evolve(SETTINGS, codec="raw")
    for name, length in (("warm", 4), ("short", 2 * PIECE), ("long", 8 * PIECE)):
        write_video(tmp_path / f"{name}.mp4", moving_square(length, 32, 40))
    peak_bytes(tmp_path / "warm.mp4", settings)
    short, long = (peak_bytes(tmp_path / f"{name}.mp4", settings) for name in ("short", "long"))
    assert long < 1.2 * short, (short, long)


def test_a_file_that_cannot_be_locked_is_named_with_the_variable_that_mends_it(tmp_path) -> None:
    """No video is to blame: the error ends the command, and a finished part is not made again."""
    path = shard(tmp_path / "s.h5", ["a/0"])
    part = next(tmp_path.glob("*.part"))
    for locked, use in ((path, Hdf5VideoStore), (part, is_part)):
        with locked.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(WriteError, match=rf"{locked.name} cannot be locked.*HDF5_USE_FILE_LOCKING=FALSE"):
                use(locked)
    assert is_part(part)


def test_a_file_system_without_locks_ends_the_command_before_any_video_is_blamed(tmp_path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(37, "Unable to lock file, errno = 37, error message = 'No locks available'")

    write_video(tmp_path / "a.mp4", moving_square(3, 32, 40))
    monkeypatch.setattr("h5py.File", refuse)
    with pytest.raises(WriteError, match="HDF5_USE_FILE_LOCKING=FALSE"):
        write_part_of_video(job(tmp_path / "a.mp4", tmp_path / "part"), SETTINGS)
    assert not (tmp_path / "part").exists()
