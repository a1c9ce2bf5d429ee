"""Benchmark of a store: size and read rate of both codecs against decoding the video files."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import process_time

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.modality import RGB
from vimix_adapters.clips.decode import decode_video
from vimix_adapters.clips.display import resized
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.prepare.video_store import pack_frames
from vimix_adapters.synth.dataset import write_dataset
from vimix_adapters.synth.synth_settings import SynthSettings

CODECS = ("jpeg", "raw")
CLIP = 32
"""Frames in a clip."""
ROUNDS = 7
"""Number of rounds. The first one only warms up."""


@frozen
class StoreFinding:
    """Results for videos of one size. Rates are medians over rounds, of one thread, by processor time."""

    bytes_a_frame: Mapping[str, float]
    """Size by ``mp4``, ``jpeg`` and ``raw``."""
    frames_a_second: Mapping[str, float]
    """Rate of reading whole videos."""
    clips_a_second: Mapping[str, float]
    """Rate of reading 32 consecutive frames at random. The mp4 is decoded from the last key frame before them."""

    def gain(self, codec: str) -> float:
        """Return how many times faster the store is than decoding whole files."""
        return self.frames_a_second[codec] / self.frames_a_second["mp4"]

    def clip_gain(self, codec: str) -> float:
        """Return how many times faster the store is than seeking in the files."""
        return self.clips_a_second[codec] / self.clips_a_second["mp4"]


def measure_store(folder: Path, width: int, height: int, short_side: int, videos: int = 8) -> StoreFinding:
    """Write videos of ``width`` × ``height`` to ``folder``, pack them with both codecs, and time reading them."""
    cv2.setNumThreads(1)
    source = folder / f"{width}x{height}"
    write_dataset(source, SynthSettings(2, max(2, videos // 2), 2, width=width, height=height), workers=1)
    files = sorted((source / "videos").rglob("*.mp4"))
    stores = {codec: _packed(files, source / f"{codec}.h5", short_side, codec) for codec in CODECS}
    frames = sum(video.frames for video in stores["raw"].videos)
    whole: dict[str, Callable[[int], object]] = {"mp4": lambda i: decode_video(files[i], 30, short_side)}
    clips: dict[str, Callable[[int], object]] = {
        "mp4": lambda i: read_by_seeking(files[i], _start(stores["raw"], i), short_side)
    }
    for codec, store in stores.items():
        whole[codec] = lambda i, store=store: store.read(i, RGB, 0, store.videos[i].frames)  # type: ignore[misc]
        clips[codec] = lambda i, store=store: store.read(i, RGB, _start(store, i), CLIP)  # type: ignore[misc]
    sizes = {"mp4": sum(file.stat().st_size for file in files)}
    sizes |= {codec: store.path.stat().st_size for codec, store in stores.items()}
    return StoreFinding(
        {name: size / frames for name, size in sizes.items()},
        {name: frames / seconds for name, seconds in _in_turn(whole, len(files)).items()},
        {name: len(files) / seconds for name, seconds in _in_turn(clips, len(files)).items()},
    )


def read_by_seeking(path: Path, start: int, short_side: int) -> NDArray[np.uint8]:
    """Read a clip as a loader without a store does: seek to the key frame before it and decode from there (PyAV)."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        assert stream.average_rate is not None
        assert stream.time_base is not None
        first = start / stream.average_rate
        container.seek(int(first / stream.time_base), stream=stream)
        frames: list[NDArray[np.uint8]] = []
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= float(first) - 1e-3:
                frames.append(resized(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8), short_side))
            if len(frames) == CLIP:
                break
    return np.stack(frames)


def _packed(files: Sequence[Path], out: Path, short_side: int, codec: str) -> Hdf5VideoStore:
    settings = PackSettings(short_side=short_side, flow="none", flow_short_side=short_side, codec=codec)
    entries = []
    for file in files:
        part = out.with_name(f"{file.stem}.{codec}.part")
        frames, decoded = pack_frames(file, settings)
        write_part(part, frames, decoded.rate, settings)
        entries.append(Entry(part, file.name, 0, file.stem, ("train",)))
    merge_parts(out, entries, ["any"], settings, quarantined=0)
    return Hdf5VideoStore(out)


def _start(store: Hdf5VideoStore, video: int) -> int:
    return int(np.random.default_rng(video).integers(0, store.videos[video].frames - CLIP + 1))


def _in_turn(ways: Mapping[str, Callable[[int], object]], videos: int) -> dict[str, float]:
    """Return the processor time in seconds to read all videos, by way of reading: medians over interleaved rounds."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, read in ways.items():
            began = process_time()
            for video in range(videos):
                read(video)
            spent[name].append(process_time() - began)
    return {name: statistics.median(seconds[1:]) for name, seconds in spent.items()}
