"""Every kind of odd file is read as it should be, or left out with its reason; nothing hangs, nothing else is lost."""

import ctypes
import os
import signal
import time
import wave
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from attrs import frozen
from rich.console import Console

from tests.fakes.store import frame_numbers, moving_square, write_video
from vimix.values.errors import VimixError
from vimix_adapters.clips.decode import decode_video
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.video_file import as_fraction, probe_video
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.prepare import worker_pool
from vimix_adapters.prepare.build_store import PartJob, build_store
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.video_store import VideoStoreBuilder, write_part_of_video
from vimix_adapters.prepare.worker_pool import run_jobs


@frozen
class Odd:
    """A file, and the expected numbers of its frames or the reason why it is left out."""

    make: Callable[[Path], None]
    frames: list[int] | None = None
    reason: str = ""
    name: str = "a.mp4"


def encoded(path: Path, frames: int = 12, **how: object) -> None:
    write_video(path, moving_square(frames), **how)  # type: ignore[arg-type]


def with_encoder(codec: str, path: Path) -> None:
    try:
        av.codec.Codec(codec, "w")
    except ValueError:
        pytest.skip(f"this FFmpeg cannot encode with {codec}")
    encoded(path, codec=codec)


def truncated(path: Path) -> None:
    encoded(path, 60, codec="mpeg4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def truncated_with_its_index(path: Path) -> None:
    """The index comes first, as in files for streaming: it promises frames that are not there."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in moving_square(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])


def sound(path: Path, cover: bool = False) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        picture = None
        if cover:
            picture = container.add_stream("mjpeg")
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic.value  # PyAV 15 wants the number
            container.mux(picture.encode(av.VideoFrame.from_ndarray(moving_square(1)[0], format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        for number in range(8):
            frame.pts = 1024 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if picture is not None:
            container.mux(picture.encode())


def wave_file(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))


def undeclared(path: Path) -> None:
    """Matroska declares no number of frames."""
    encoded(path)
    assert probe_video(path).frames == 0


def test_a_rate_of_pyavs_own_type_is_a_fraction() -> None:
    """From PyAV 19 on (Python 3.12 and newer) rates are no Fractions: no ``abs``, only these two."""
    rate = as_fraction(SimpleNamespace(numerator=30000, denominator=1001))
    assert rate == Fraction(30000, 1001)
    assert isinstance(rate, Fraction)
    assert as_fraction(None) is None


def variable(path: Path) -> None:
    encoded(path, 12, times=[0, 1, 2, 3, 4, 5, 10, 15, 20, 25, 30, 35])


def growing(path: Path) -> None:
    """The picture changes its shape within the stream: two MPEG streams end to end."""
    parts = []
    for number, shape in enumerate(((48, 64), (48, 96))):
        part = path.with_name(f"{number}.m2v")
        with av.open(str(part), "w", format="mpeg2video") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = *shape, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 25)
            for t, picture in enumerate(moving_square(6, *shape)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = t
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def circle(path: Path) -> None:
    path.symlink_to(path.name)


ALL = list(range(12))
ODD = {
    **{
        f"truncated {ending}": Odd(truncated, reason="not a readable video|truncated|damaged", name=f"a.{ending}")
        for ending in ("mp4", "avi", "mkv")
    },
    "truncated with its index": Odd(truncated_with_its_index, reason="truncated|damaged"),
    "zero bytes": Odd(lambda path: path.write_bytes(b"") and None, reason="empty file"),
    "text": Odd(lambda path: path.write_text("no video\n" * 99) and None, reason="not a readable video"),
    "noise": Odd(lambda path: path.write_bytes(os.urandom(4096)) and None, reason="not a readable video"),
    "sound alone": Odd(sound, reason="^no video stream$"),
    "sound of another format": Odd(wave_file, reason="not a video in a format that is read"),
    "sound with a cover": Odd(lambda path: sound(path, cover=True), reason="cover picture"),
    "name that is no UTF-8": Odd(encoded, ALL, name=os.fsdecode(b"a\xff.mp4")),
    "one frame": Odd(lambda path: encoded(path, 1), [0]),
    "0 declared frames": Odd(undeclared, ALL, name="a.mkv"),
    "variable rate": Odd(variable, ALL, name="a.mkv"),
    "odd sizes": Odd(lambda path: write_video(path, moving_square(12, 49, 63), pixels="yuv444p"), ALL),
    "10 bit": Odd(lambda path: encoded(path, pixels="yuv420p10le"), ALL),
    "HEVC": Odd(lambda path: with_encoder("libx265", path), ALL),
    "AV1": Odd(lambda path: with_encoder("libsvtav1", path), ALL),
    "VP9": Odd(lambda path: with_encoder("libvpx-vp9", path), ALL, name="a.webm"),
    "changing shape": Odd(growing, reason="different shapes: 64 x 48, later 96 x 48", name="a.mpg"),
    "FIFO": Odd(lambda path: os.mkfifo(path), reason="not a regular file"),
    "folder": Odd(lambda path: path.mkdir(), reason="a folder without images"),
    "link to itself": Odd(circle, reason="cannot be opened"),
    "missing": Odd(lambda _: None, reason="cannot be opened"),
}


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_is_read_as_it_should_be_or_refused_with_its_reason(tmp_path, kind) -> None:
    odd = ODD[kind]
    path = tmp_path / odd.name
    odd.make(path)
    if odd.frames is None:
        with pytest.raises(VimixError, match=odd.reason):
            decode_video(path, 30, 48)
        return
    decoded = decode_video(path, 30, 48)
    assert frame_numbers(decoded)[: len(odd.frames)] == odd.frames
    assert min(decoded.shape[1:3]) == 48


def hostile(job: PartJob, settings: PackSettings) -> None:
    """Crash, hang or fail for some files."""
    stem = job.files[0].path.stem
    if stem == "segfault":
        ctypes.string_at(0)
    if stem == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if stem == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if stem == "memory":
        raise MemoryError
    if stem == "exit":
        raise SystemExit(7)
    write_part_of_video(job, settings)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_file_takes_the_others_down_with_it(tmp_path) -> None:
    settings = PackSettings(short_side=32, flow="none", codec="raw")
    for name in ("a", "exit", "hang", "killed", "memory", "segfault", "z"):
        encoded(tmp_path / f"videos/bow/{name}.mp4", 4)
    builder = VideoStoreBuilder(settings, 4, partial(hostile, settings=settings))
    done = build_store(
        list_folder(tmp_path / "videos"), tmp_path / "s.h5", builder, LocalEngine(1), Console(quiet=True)
    )
    assert {row.name: row.reason for row in done.failures} == {
        "bow/exit.mp4": "the decoder died (exit code 7)",
        "bow/hang.mp4": "not finished within 4 seconds: killed",
        "bow/killed.mp4": "the decoder died (SIGKILL: out of memory?)",
        "bow/memory.mp4": "out of memory",
        "bow/segfault.mp4": "the decoder died (SIGSEGV)",
    }
    assert [video.name for video in Hdf5VideoStore(tmp_path / "s.h5").videos] == ["bow/a.mp4", "bow/z.mp4"]
    assert {row.name for row in done.failures if row.passing} == {"bow/killed.mp4", "bow/memory.mp4"}


def nothing(_: str) -> None:
    """Finish at once."""


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_worker_that_dies_between_two_jobs_costs_no_job(monkeypatch) -> None:
    """An idle worker is killed from outside (out of memory): its next job goes to another."""
    give, killed = worker_pool._Pool._give, []

    def give_to_the_dead(self, worker) -> None:
        if worker.job == "third" and not killed:
            killed.append(worker)
            worker.process.kill()
            worker.process.join()
        give(self, worker)

    monkeypatch.setattr(worker_pool._Pool, "_give", give_to_the_dead)
    outcomes = [(outcome.job, outcome.reason) for outcome in run_jobs(nothing, ["first", "second", "third"], 1, 20)]
    assert outcomes == [("first", None), ("second", None), ("third", None)]
    assert len(killed) == 1


class Unloadable:
    """Work that ends every process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)

    def __call__(self, job: str) -> None:
        raise AssertionError(job)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_if_no_worker_can_start_the_error_says_so_and_blames_no_file() -> None:
    with pytest.raises(VimixError, match=r"3 decoding processes ended before they could start \(exit code 9\)"):
        list(run_jobs(Unloadable(), ["a", "b", "c", "d", "e"], 2, 20))
