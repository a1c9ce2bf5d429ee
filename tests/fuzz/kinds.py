"""Files to damage, and what reads them: each reader gives a result or raises VimixError, and nothing else."""

import random
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
from attrs import frozen

from tests.builders import hdf5
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix_adapters.clips.decode import decode_video
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_check import check_video, overview
from vimix_adapters.datasets.lists import list_videos
from vimix_adapters.prepare.quarantine import LeftOut, read_quarantine, write_quarantine
from vimix_adapters.skeletons.formats import read_skeletons
from vimix_adapters.skeletons.sequence import Expected

BODY = b"1 0 0 0 0 0 0 0 0 2\n2\n" + b"0.1 0.2 0.3 0 0 0 0 0 0 0 0 2\n" * 2


@frozen
class Kind:
    """A kind of file: makes a sound one at a path, and reads one."""

    ending: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


@frozen
class Attempt:
    """A damaged file: of this kind, by this seed."""

    kind: str
    seed: int


def store_of(codec: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            hdf5(Path(folder), codec)
            path.write_bytes(Path(folder, "store.h5").read_bytes())

    return make


def read_store(path: Path) -> None:
    """Open, check and read a store."""
    for number, video in enumerate(overview(path).videos):
        store = Hdf5VideoStore(path)
        for modality in store.formats:
            store.read(number, modality, 0, min(video.frames, 8))
        check_video(number, path)


def head(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        hdf5(Path(folder), "raw")
        with h5py.File(Path(folder, "store.h5")) as file:
            path.write_bytes(file["head"][...].tobytes())


def read_head(path: Path) -> None:
    """Read a store with this head, which fits its digest, as a stranger would make it."""
    store, text = path.with_suffix(".h5"), path.read_bytes()
    store.write_bytes(sound("raw store"))
    with h5py.File(store, "r+") as file:
        del file["head"]
        file["head"] = np.frombuffer(text, np.uint8)
        file["head"].attrs["sha256"] = np.bytes_(sha256(text).hexdigest())
    read_store(store)


def video(path: Path) -> None:
    write_video(path, moving_square(6, 32, 48), codec="mpeg4")


def listing(path: Path) -> None:
    path.write_text('path,split,label,group\nbow/a.mp4,train,bow,x\nbow/b.mp4,train;test,"bow, or not",y\n')


def quarantine(path: Path) -> None:
    write_quarantine(path.with_suffix(".h5"), [LeftOut("a.mp4", "=1", True), LeftOut("b", "empty, file")])
    path.with_suffix(".quarantine.csv").rename(path)


def read_left_out(path: Path) -> None:
    path.rename(path.with_suffix(".quarantine.csv"))
    read_quarantine(path.with_suffix(".h5"))


KINDS = {
    "raw store": Kind(".h5", store_of("raw"), read_store),
    "jpeg store": Kind(".h5", store_of("jpeg"), read_store),
    "head": Kind(".json", head, read_head),
    "video": Kind(".mp4", video, lambda path: decode_video(path, 30, 32)),
    "matroska": Kind(".mkv", video, lambda path: decode_video(path, 30, 32)),
    "list": Kind(".csv", listing, lambda path: list_videos([path])),
    "left out": Kind(".csv", quarantine, read_left_out),
    "skeleton": Kind(
        ".skeleton",
        lambda path: path.write_bytes(b"2\n1\n" + BODY + b"1\n" + BODY),
        lambda path: read_skeletons(path, Expected(2)),
    ),
    "rows": Kind(
        ".txt",
        lambda path: path.write_bytes(b"1 2 3 1.0\n4 5 6 1.0\n" * 4),
        lambda path: read_skeletons(path, Expected(2)),
    ),
}
IN_A_LIBRARY = ("raw store", "jpeg store", "head", "video", "matroska")
"""Kinds whose library may crash or hang: there a process that is killed in time is a result."""


def attempt(attempt: Attempt) -> None:
    """Read a damaged file. Raises what the reader raises, VimixError excepted."""
    kind = KINDS[attempt.kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{kind.ending}"
        path.write_bytes(damaged(sound(attempt.kind), random.Random(attempt.seed)))
        try:
            kind.read(path)
        except VimixError:
            return


@cache
def sound(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{KINDS[kind].ending}"
        KINDS[kind].make(path)
        return path.read_bytes()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, cut a piece out, repeat one, or write an extreme number."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(len(changed) or 1)
        length = rng.choice((1, 2, 4, 8, 32))
        how = rng.randrange(5)
        if how == 0 and changed:
            changed[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            changed[place : place + length] = rng.randbytes(length)
        elif how == 2:
            del changed[place : place + length]
        elif how == 3:
            changed[place:place] = changed[place : place + length] * rng.choice((1, 3))
        else:
            number = rng.choice((0, 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 16, 2**64 - 1))
            changed[place : place + 8] = number.to_bytes(8, rng.choice(("little", "big")))
    return bytes(changed)
