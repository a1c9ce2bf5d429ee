"""``prepare`` is killed, workers and all, at twenty random moments, and still ends in the store of an unbroken run."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.fakes.store import moving_square, write_video
from vimix.values.modality import RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_check import check_video, fits_fingerprint
from vimix_adapters.clips.hdf5_writer import is_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.listing import Listing
from vimix_adapters.prepare import worker_pool
from vimix_adapters.prepare.build_store import build_store
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.store_info import describe
from vimix_adapters.prepare.video_store import VideoStoreBuilder

pytestmark = pytest.mark.slow

KILLS = 20
SETTINGS = PackSettings(short_side=16, flow="none", flow_short_side=16, codec="raw")


def run(listing: Listing, store: Path) -> None:
    """Build the store with forked workers, which start at once, so that kills meet them at work."""
    worker_pool._context = lambda _: multiprocessing.get_context("fork")
    build_store(listing, store, VideoStoreBuilder(SETTINGS, 60), LocalEngine(2), Console(quiet=True))


def start(listing: Listing, store: Path):
    process = multiprocessing.get_context("fork").Process(target=run, args=(listing, store))
    process.start()
    return process


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def workers(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def same(one: Hdf5VideoStore, other: Hdf5VideoStore) -> bool:
    return one.fingerprint == other.fingerprint and all(
        np.array_equal(one.read(number, RGB, 0, video.frames), other.read(number, RGB, 0, video.frames))
        for number, video in enumerate(one.videos)
    )


def check(store: Path, unbroken: Hdf5VideoStore) -> bool:
    """Check that a kill left the right store, or finished parts that are counted; returns whether the store exists."""
    if store.exists():
        assert same(Hdf5VideoStore(store), unbroken)
        return True
    folder = store.with_name("s.h5.parts")
    before = len(list(folder.glob("*.h5")))
    finished = describe(store)["finished"] if folder.exists() else 0
    parts = list(folder.glob("*.h5"))
    assert all(is_part(part) for part in parts)
    assert before <= finished <= len(parts)  # a worker may outlive its parent for a moment
    return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
@pytest.mark.timeout(240)
def test_after_twenty_kills_at_random_moments_the_store_is_that_of_an_unbroken_run(tmp_path) -> None:
    for i in range(6):
        write_video(tmp_path / f"videos/{'ab'[i % 2]}/{i}.mp4", moving_square(6 + i, 16, 24))
    listing, store = list_folder(tmp_path / "videos"), tmp_path / "s.h5"
    began = time.monotonic()
    start(listing, tmp_path / "unbroken.h5").join()
    whole = time.monotonic() - began
    unbroken = Hdf5VideoStore(tmp_path / "unbroken.h5")
    rng, kills, seen = np.random.default_rng(0), 0, set()
    while kills < KILLS:
        process = start(listing, store)
        time.sleep(rng.uniform(0, whole))
        busy, alive = workers(process.pid), process.is_alive()
        how = ("worker", "parent", "both")[rng.integers(3)]
        if how != "parent" and busy:
            kill(busy[rng.integers(len(busy))])
        if how != "worker":
            kill(process.pid)
        process.join()
        kills += alive and (bool(busy) or how != "worker")
        there = check(store, unbroken)
        seen.add((how, there))
        if there:
            store.unlink()  # and all over again
            shutil.rmtree(tmp_path / "s.h5.parts", ignore_errors=True)
    assert {("worker", True), ("parent", False)} <= seen  # a lost worker cost nothing; a lost parent left parts
    start(listing, store).join()
    assert same(Hdf5VideoStore(store), unbroken)
    assert fits_fingerprint(Hdf5VideoStore(store))
    for number in range(6):
        check_video(number, store)
    assert [path.name for path in sorted(tmp_path.iterdir()) if path.name.startswith((".", "s."))] == [
        "s.h5",
        "s.quarantine.csv",
    ]
