"""Files from strangers: nothing else is read, nothing is obeyed, and what is too large or never ends is one line."""

import csv
import json
import multiprocessing
import os
import resource
import struct
from multiprocessing.connection import Connection
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import torch
from rich.console import Console

from tests.builders import SQUARES, change_head, hdf5, shard
from tests.cli import printed, vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import RGB
from vimix_adapters.clips.decode import decode_video
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, jpeg_size
from vimix_adapters.clips.hdf5_writer import as_jpeg
from vimix_adapters.clips.workers import worker_loader
from vimix_adapters.commands.extract import WRITERS, FeatureTable
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.images import find_folders
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.single_file import read_as_stored, stream_as_stored
from vimix_adapters.prepare.store_tools import verify
from vimix_adapters.skeletons.texts import parse_ntu
from vimix_adapters.terminal import printable

QUIET = Console(quiet=True)
SETTINGS = PackSettings(short_side=32, flow="none", flow_short_side=32, codec="raw")


# Only the file that was asked for is read


PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile secret.mp4\n",
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_under_the_name_of_a_video_is_refused(tmp_path, kind) -> None:
    write_video(tmp_path / "secret.mp4", moving_square(4))
    (tmp_path / "a.mp4").write_text(PLAYLISTS[kind])
    with pytest.raises(VimixError, match=r"not a video in a format that is read|not a readable video"):
        decode_video(tmp_path / "a.mp4", 30, 32)
    if kind == "concat":
        with av.open(str(tmp_path / "a.mp4")) as read_by_others:
            assert len(list(read_by_others.decode(video=0))) == 4


def test_a_name_that_is_an_address_is_a_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "secret.mp4", moving_square(4))
    Path("concat:secret.mp4").write_text("no video")
    with pytest.raises(VimixError, match="not a readable video"):
        decode_video(Path("concat:secret.mp4"), 30, 32)
    Path("secret.mp4").rename("rtsp:b.mp4")
    assert len(decode_video(Path("rtsp:b.mp4"), 30, 32)) == 4


def test_flow_is_imported_from_its_folder_only(tmp_path) -> None:
    for folder in ("outside/x", "import/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "flow_x_00001.jpg").touch()
    assert find_folders(tmp_path / "import", "x.mp4") == (tmp_path / "import/x",)
    for name in ("../outside/x.mp4", "a/../../outside/x.mp4", f"{tmp_path}/outside/x.mp4"):
        with pytest.raises(VimixError, match="leads out of"):
            find_folders(tmp_path / "import", name)


def test_names_do_not_act_on_the_terminal(tmp_path, capsys) -> None:
    name, shown = "a/\x1b]0;owned\x07\u202e.mp4", r"a/\x1b]0;owned\x07\u202e.mp4"
    store = shard(tmp_path / "\x1b[31ms.h5", [name], pictures={name: SQUARES["a/0"]}, splits=("\x1b[2J",))
    assert vimix("store", "info", store) == 0
    assert vimix("store", "export", store, "0", "--out", tmp_path / "a.mp4") == 0
    assert vimix("store", "export", store, "missing", "--out", tmp_path / "b.mp4") == 2
    assert vimix("store", "info", tmp_path / "\x1b[1m") == 2
    both = "".join(capsys.readouterr())
    assert "\x1b" not in both
    assert "\x07" not in both
    assert shown in both
    assert r"\x1b[2J: 1" in both
    assert printable("a\tb\nc \udcff\r") == "a\tb\nc \\udcff\\r"


def test_the_log_does_not_act_on_the_terminal(capsys) -> None:
    import structlog

    configure_logging()
    structlog.get_logger().warning("video_replaced", video="\x1b]0;owned\x07")
    assert r"\x1b]0;owned\x07" in capsys.readouterr().err


def test_features_as_csv_hold_no_formula(tmp_path) -> None:
    names = np.array(["=cmd|' /C calc'!A0", "a.mp4"])
    table = FeatureTable(np.array([[-0.5], [1]], np.float32), {"names": names, "labels": np.array([-1, 0])}, {})
    WRITERS[".csv"](tmp_path / "f.csv", table)
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["names", "'=cmd|' /C calc'!A0", "a.mp4"]
    assert rows[1][1:] == ["-1", "-0.5"], "numbers stay numbers"


# Limits before memory is taken


def test_a_frame_that_is_stamped_days_later_is_refused(tmp_path) -> None:
    write_video(tmp_path / "a.mkv", moving_square(3), times=[0, 1, 3_000_000])
    with pytest.raises(VimixError, match="seconds from the first frame: 100,000, the limit is 86,400"):
        decode_video(tmp_path / "a.mkv", 30, 32)


def test_a_video_of_huge_frames_is_refused_by_its_header(tmp_path) -> None:
    write_video(tmp_path / "a.mkv", moving_square(2, 258, 272), codec="ffv1")
    data = (tmp_path / "a.mkv").read_bytes()
    width, height = b"\xb0\x82" + struct.pack(">H", 272), b"\xba\x82" + struct.pack(">H", 258)
    assert data.count(width) == data.count(height) == 1
    huge = data.replace(width, b"\xb0\x82" + struct.pack(">H", 12_000))
    (tmp_path / "a.mkv").write_bytes(huge.replace(height, b"\xba\x82" + struct.pack(">H", 12_000)))
    with pytest.raises(VimixError, match="pixels of a frame: 144,000,000, the limit is 67,108,864"):
        decode_video(tmp_path / "a.mkv", 30, 32)


def test_a_skeleton_file_of_millions_of_empty_frames_is_refused() -> None:
    with pytest.raises(VimixError, match="4,000,001 lines, the limit is 4,000,000"):
        parse_ntu(b"4000001\n" + b"0\n" * 4_000_000, 25)


def test_a_huge_jpeg_in_a_store_is_refused_by_its_header(tmp_path) -> None:
    path = shard(tmp_path / "s.h5", ["a/0"])
    with h5py.File(path, "r+") as file:
        data = file["videos/00000000/rgb"]
        place = data[...].tobytes().index(b"\xff\xc0") + 5
        data[place : place + 4] = np.frombuffer(struct.pack(">HH", 30_000, 30_000), np.uint8)
    with pytest.raises(VimixError, match="pixels of a JPEG frame: 900,000,000, the limit is 67,108,864"):
        Hdf5VideoStore(path).read(0, RGB, 0, 1)


@pytest.mark.parametrize("size", [(33, 47), (128, 170)])
def test_the_header_of_a_jpeg_tells_its_size(size) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert jpeg_size(as_jpeg(picture, RGB, 95).tobytes()) == size
    for damaged in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x00" + bytes(9), b"no picture"):
        with pytest.raises(ValueError, match="not a JPEG"):
            jpeg_size(damaged)


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_list_that_claims_more_frames_than_there_are_is_refused(tmp_path, codec) -> None:
    hdf5(tmp_path, codec)
    change_head(tmp_path / "store.h5", lambda head: head["videos"][1].update(frames=2**40))
    with pytest.raises(VimixError, match=r"1\.mp4.*more frames than are stored: 1,099,511,627,776, the limit is 9"):
        Hdf5VideoStore(tmp_path / "store.h5").read(1, RGB, 2**30, 4)


def test_data_that_the_file_does_not_have_are_refused(tmp_path) -> None:
    """HDF5 invents zeros for what was never written: a small file may claim to hold terabytes."""
    hdf5(tmp_path, "raw")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        del file["videos/00000000/rgb"]
        file.create_dataset("videos/00000000/rgb", (9, 2**20, 2**20, 3), "u1")
    with pytest.raises(VimixError, match="rgb claims more bytes than the file has"):
        Hdf5VideoStore(tmp_path / "store.h5").read(0, RGB, 0, 9)


# The head of a store


def as_version_1(path: Path) -> None:
    """Make the store one of the first schema, which has its head as a text attribute."""
    with h5py.File(path, "r+") as file:
        file.attrs["head"] = file["head"][...].tobytes().decode()
        del file["head"]
        file.attrs["schema"] = "vimix-store-1"


def test_a_store_of_the_first_schema_still_opens(tmp_path) -> None:
    new = hdf5(tmp_path, "raw")
    videos, fingerprint = list(new.videos), new.fingerprint
    as_version_1(tmp_path / "store.h5")
    old = Hdf5VideoStore(tmp_path / "store.h5")
    assert (list(old.videos), old.fingerprint) == (videos, fingerprint)
    assert old.read(1, RGB, 2, 1).max() == 3
    assert verify(tmp_path / "store.h5", 1, QUIET)["bad"] == []


def test_a_flipped_bit_in_the_head_is_found(tmp_path) -> None:
    hdf5(tmp_path, "raw")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        place = file["head"][...].tobytes().index(b"1.mp4")
        file["head"][place] ^= 1
    with pytest.raises(VimixError, match=r"list of videos is not what was written \(checksum\)"):
        Hdf5VideoStore(tmp_path / "store.h5")


@pytest.mark.parametrize(
    "change",
    [
        lambda head: head["videos"][0].pop("name"),
        lambda head: head.update(videos=None),
        lambda head: head["videos"][0].update(frames="many"),
        lambda head: head["videos"][0].update(label=7),
        lambda head: head["splits"].update(train=[99]),
        lambda head: head["settings"].update(codec="pickle"),
        lambda head: head.pop("fingerprint"),
    ],
)
def test_a_head_that_makes_no_sense_is_one_line(tmp_path, change) -> None:
    hdf5(tmp_path, "raw")
    change_head(tmp_path / "store.h5", change)
    with pytest.raises(VimixError, match=r"store\.h5: expected a store, but its list of videos cannot be read"):
        Hdf5VideoStore(tmp_path / "store.h5")


def test_a_head_in_another_file_is_refused(tmp_path) -> None:
    hdf5(tmp_path, "raw")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        del file["head"]
        file["head"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(VimixError, match="in the store itself"):
        Hdf5VideoStore(tmp_path / "store.h5")


# Processes that can be killed


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_store_that_hangs_the_library_is_named(tmp_path) -> None:
    """The size of a text on HDF5's heap is 2^64 - 16: the library adds and goes round for ever."""
    hdf5(tmp_path, "raw")
    as_version_1(tmp_path / "store.h5")
    data = bytearray((tmp_path / "store.h5").read_bytes())
    heaps = [place for place in range(len(data)) if data.startswith(b"GCOL", place)]
    assert heaps
    for heap in heaps:
        data[heap + 24 : heap + 32] = struct.pack("<Q", 2**64 - 16)
    (tmp_path / "store.h5").write_bytes(bytes(data))
    with pytest.raises(VimixError, match=r"store\.h5: this file hangs the HDF5 library"):
        verify(tmp_path / "store.h5", 1, QUIET, patience=2)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_video_that_takes_too_long_ends_in_one_line(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(200, 256, 256))
    with pytest.raises(VimixError, match=r"a\.mp4: not finished within 0\.001 seconds: killed"):
        read_as_stored(tmp_path / "a.mp4", SETTINGS, RGB, seconds=0.001)
    with pytest.raises(VimixError, match=r"a\.mp4: no frames within 0\.001 seconds: killed"):
        stream_as_stored(tmp_path / "a.mp4", SETTINGS, RGB, seconds=0.001)
    (tmp_path / "b.mp4").write_text("no video")
    for read in (read_as_stored, stream_as_stored):
        with pytest.raises(VimixError, match=r"b\.mp4: not a readable video"):
            read(tmp_path / "b.mp4", SETTINGS, RGB)


def load_many(most: int, pipe: Connection) -> None:
    """Hold 150 batches at once under a limit of 100 open files that may be raised to ``most``."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
    try:
        batches = [torch.full((4,), float(number)) for number in range(150)]
        loaded = list(worker_loader(batches, list(range(150)), torch.device("cpu"), 2))
        assert [int(batch[0]) for batch in loaded] == list(range(150))
        pipe.send(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    except BaseException as error:
        pipe.send(repr(error))
    os._exit(0)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("most", "allowed"), [(4096, 320), (130, 130)])
def test_a_small_limit_of_open_files_is_raised_or_done_without(most, allowed) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=load_many, args=(most, there))
    child.start()
    assert here.recv() == allowed
    child.join()


def test_json_of_a_store_is_for_machines(tmp_path, capsys) -> None:
    """Its names are not changed, but written in ASCII."""
    store = shard(tmp_path / "s.h5", ["a/0"], splits=("\x1b[2J",))
    text = printed(capsys, "store", "info", store, "--json")
    assert "\x1b" not in text
    assert json.loads(text)["splits"] == {"\x1b[2J": 1}
