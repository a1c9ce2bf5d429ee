"""An estimate of a store's size before it is made, from the first frames of some videos, encoded as in the store."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix.values.segment import Segment
from vimix_adapters.clips.decode import FrameSource, first_frames
from vimix_adapters.clips.display import Frame, resized
from vimix_adapters.clips.hdf5_writer import as_jpeg
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import flow_fields
from vimix_adapters.flow.opencv import DisFlow
from vimix_adapters.prepare.worker_pool import run_jobs

SAMPLE = 24
"""Number of videos that are looked into."""
SECONDS = 60.0
"""Time limit of a video."""


@frozen
class DiskUse:
    """Estimated bytes of a store, and the number of files that were looked into."""

    size: int
    files: int


Clip = tuple[FrameSource, Segment | None]


def estimate_disk_use(clips: Sequence[Clip], settings: PackSettings) -> DiskUse | None:
    """Estimate the size of a store of the videos or segments; None if none of the sample can be read.

    They are decoded in a worker process, which they may crash.
    """
    numbers = np.unique(np.linspace(0, len(clips) - 1, min(SAMPLE, len(clips))).round().astype(int))
    sample = [clips[number] for number in numbers]
    outcomes = run_jobs(partial(size_of, settings=settings), sample, 1, SECONDS)
    sizes = [outcome.value for outcome in outcomes if outcome.value]
    return DiskUse(round(float(np.mean(sizes)) * len(clips)), len(sizes)) if sizes else None


def size_of(clip: Clip, settings: PackSettings) -> float:
    """Return the bytes that a clip will take: its number of frames times the size of its first; 0 if unreadable."""
    source, segment = clip
    try:
        frames, rate = first_frames(source, 2), source.rate
        seconds = source.seconds or 1 / rate
    except VimixError:
        return 0
    if segment is not None:
        seconds = (segment.end - segment.start) / (rate if segment.in_frames else 1)
    return seconds * min(rate, settings.rate or rate) * _frame_size(frames, settings)


def _frame_size(frames: Sequence[Frame], settings: PackSettings) -> int:
    """Return the bytes of a stored frame and its flow; that of DIS is about as large as that of TV-L1."""
    picture = resized(frames[0], settings.short_side)
    if settings.codec == "raw":
        return int(picture.shape[0]) * int(picture.shape[1]) * (3 if settings.flow == "none" else 5)
    size = len(as_jpeg(picture, RGB, settings.quality))
    if settings.flow != "none":
        shape = (int(picture.shape[0]), int(picture.shape[1]))
        fields = flow_fields(np.stack(frames), DisFlow(), settings.flow_short_side, shape, settings.flow_bound)
        size += len(as_jpeg(fields[0], FLOW, settings.quality))
    return size
