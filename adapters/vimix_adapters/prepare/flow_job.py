"""Flow of one video of a store: computed from its stored frames, or imported from images."""

from functools import lru_cache
from itertools import islice
from pathlib import Path

import cv2
from attrs import frozen

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.decode import PIECE
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import part_writer
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import FlowOfPieces, quantise, resized
from vimix_adapters.flow.images import FlowImages, Folders, count_fields, read_fields
from vimix_adapters.prepare.video_store import flow_estimator

_opened = lru_cache(maxsize=1)(Hdf5VideoStore)
"""Opens the store once in each worker process."""


@frozen
class FlowJob:
    """A video whose flow goes into a part of its own."""

    number: int
    """Number of the video in the store."""
    frames: int
    part: Path
    folders: Folders = ()
    """Place of the images to import; empty if flow is computed."""


def compute_part(job: FlowJob, store: Path, settings: PackSettings) -> None:
    """Compute the flow of a video from its stored frames. Raises VimixError if they cannot be read."""
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    height, width = opened.read(job.number, RGB, 0, 1).shape[1:3]
    flow = FlowOfPieces(flow_estimator(settings), settings.flow_short_side, (height, width), settings.flow_bound)
    with part_writer(job.part, settings) as part:
        for start in range(0, video.frames, PIECE):
            part.append(FLOW, flow.add(opened.read(job.number, RGB, start, min(PIECE, video.frames - start))))
        part.append(FLOW, flow.end())
        part.finish(video.rate)


def import_part(job: FlowJob, store: Path, settings: PackSettings, images: FlowImages) -> None:
    """Bring the flow images of a video to the size and bound of the store.

    Raises VimixError if their number does not fit the stored frames, or one cannot be read.
    """
    cv2.setNumThreads(1)
    opened = _opened(store)
    video = opened.videos[job.number]
    count = count_fields(job.folders, images)
    if abs(count - video.frames) > 1:
        raise VimixError(
            f"{count} flow images for {video.frames} stored frames: expected {video.frames - 1}; such flow fits a "
            "store with the frame rate of the video files (vimix prepare --rate 0)"
        )
    height, width = opened.read(job.number, RGB, 0, 1).shape[1:3]
    coded = (
        quantise(resized(field, (height, width)), settings.flow_bound)[None]
        for field in islice(read_fields(job.folders, images), video.frames)
    )
    with part_writer(job.part, settings) as part:
        for last in coded:
            part.append(FLOW, last)
        for _ in range(count, video.frames):  # the last field is repeated, as in computed flow
            part.append(FLOW, last)
        part.finish(video.rate)
