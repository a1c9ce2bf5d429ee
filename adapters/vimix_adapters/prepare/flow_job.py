"""The flow of one video of a store: computed from its stored pictures, or read from pictures that there are."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import flow_fields, quantise, resized
from vimix_adapters.flow.images import FlowImages, count_fields, read_fields
from vimix_adapters.prepare.video_job import ESTIMATORS


@frozen
class FlowJob:
    """A video of a store, the part that its flow goes to, and the folder of its pictures where it is imported."""

    number: int
    frames: int
    part: Path
    folder: Path | None = None


def flow_job(job: FlowJob, store: Path, settings: PackSettings) -> None:
    """Compute the flow of a video from its stored pictures. The store stays open in the process."""
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    frames = opened.read(job.number, RGB, 0, video.frames)
    size = (int(frames.shape[1]), int(frames.shape[2]))
    estimator = ESTIMATORS[settings.flow]()
    fields = flow_fields(frames, estimator, settings.flow_short_side, size, settings.flow_bound)
    write_part(job.part, {FLOW: fields}, video.rate, settings)


def import_job(job: FlowJob, store: Path, settings: PackSettings, images: FlowImages) -> None:
    """Bring the flow pictures of a video to the size and bound of the store, one field a stored picture."""
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    assert job.folder is not None
    found = count_fields(job.folder, images)
    if found not in (video.frames - 1, video.frames):
        raise VimixError(
            f"{found} flow pictures for {video.frames} stored frames: expected {video.frames - 1}; such flow fits a "
            "store of the videos' own frames (vimix prepare --rate 0)"
        )
    height, width = opened.read(job.number, RGB, 0, 1).shape[1:3]
    fields = [
        quantise(resized(field, (height, width)), settings.flow_bound) for field in read_fields(job.folder, images)
    ]
    write_part(job.part, {FLOW: _lengthened(fields, video.frames)}, video.rate, settings)


def _lengthened(fields: list[NDArray[np.uint8]], frames: int) -> NDArray[np.uint8]:
    """The last field repeated, as of computed flow."""
    return np.stack(fields + fields[-1:] * (frames - len(fields)))


@lru_cache(maxsize=1)
def _opened(path: Path) -> Hdf5VideoStore:
    return Hdf5VideoStore(path)
