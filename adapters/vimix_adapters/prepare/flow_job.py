"""Flow of one video of a store: computed from its stored frames, or imported from images."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import flow_fields, quantise, resized
from vimix_adapters.flow.images import FlowImages, count_fields, read_fields
from vimix_adapters.prepare.video_store import flow_estimator


@frozen
class FlowJob:
    """A video whose flow goes into a part of its own."""

    number: int
    """Number of the video in the store."""
    frames: int
    part: Path
    folder: Path | None = None
    """Folder of the images to import; None if flow is computed."""


def compute_part(job: FlowJob, store: Path, settings: PackSettings) -> None:
    """Compute the flow of a video from its stored frames. Raises VimixError if they cannot be read."""
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    frames = opened.read(job.number, RGB, 0, video.frames)
    size = (int(frames.shape[1]), int(frames.shape[2]))
    fields = flow_fields(frames, flow_estimator(settings), settings.flow_short_side, size, settings.flow_bound)
    write_part(job.part, {FLOW: fields}, video.rate, settings)


def import_part(job: FlowJob, store: Path, settings: PackSettings, images: FlowImages) -> None:
    """Bring the flow images of a video to the size and bound of the store.

    Raises VimixError if their number does not fit the stored frames, or one cannot be read.
    """
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    assert job.folder is not None
    count = count_fields(job.folder, images)
    if count not in (video.frames - 1, video.frames):
        raise VimixError(
            f"{count} flow images for {video.frames} stored frames: expected {video.frames - 1}; such flow fits a "
            "store with the frame rate of the video files (vimix prepare --rate 0)"
        )
    height, width = opened.read(job.number, RGB, 0, 1).shape[1:3]
    fields = [
        quantise(resized(field, (height, width)), settings.flow_bound) for field in read_fields(job.folder, images)
    ]
    fields += fields[-1:] * (video.frames - len(fields))  # the last field is repeated, as in computed flow
    write_part(job.part, {FLOW: np.stack(fields)}, video.rate, settings)


@lru_cache(maxsize=1)
def _opened(path: Path) -> Hdf5VideoStore:
    """Open the store once in each worker process."""
    return Hdf5VideoStore(path)
