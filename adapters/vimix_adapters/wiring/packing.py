"""A video file turned into what a store holds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.ports.decoder import VideoDecoder
from vimix.ports.flow import FlowEstimator
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.clips.decode import decode_video, resized
from vimix_adapters.clips.hdf5 import PackSettings
from vimix_adapters.clips.hdf5_writer import write_part
from vimix_adapters.flow.dis import DisFlow
from vimix_adapters.flow.fields import flow_fields
from vimix_adapters.flow.tvl1 import TvL1Flow

ESTIMATORS: dict[str, Callable[[], FlowEstimator]] = {"dis": DisFlow, "tvl1": TvL1Flow}


@frozen
class PackJob:
    """One video to turn into a part."""

    video: Path
    part: Path


def pack_frames(
    path: Path, settings: PackSettings, decoder: VideoDecoder = decode_video
) -> tuple[dict[Modality, NDArray[np.uint8]], float]:
    """A video file as a store with ``settings`` would hold it: uint8 [T, H, W, C] by modality, and its rate.

    Raises VimixError with the reason if the file cannot be read.
    """
    cv2.setNumThreads(1)
    with_flow = settings.flow != "none"
    largest = max(settings.short_side, settings.flow_short_side) if with_flow else settings.short_side
    decoded = decoder(path, settings.rate, largest)
    rgb = np.stack([resized(frame, settings.short_side) for frame in decoded.frames])
    packed = {RGB: rgb}
    if with_flow:
        size = (int(rgb.shape[1]), int(rgb.shape[2]))
        estimator = ESTIMATORS[settings.flow]()
        packed[FLOW] = flow_fields(decoded.frames, estimator, settings.flow_short_side, size, settings.flow_bound)
    return packed, decoded.rate


def pack_job(job: PackJob, settings: PackSettings, decoder: VideoDecoder = decode_video) -> None:
    """What a worker does with one file."""
    frames, rate = pack_frames(job.video, settings, decoder)
    write_part(job.part, frames, rate, settings)
