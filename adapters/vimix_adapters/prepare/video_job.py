"""A video file turned into what a store holds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.clips.decode import VideoDecoder, decode_video, resized
from vimix_adapters.clips.hdf5 import STORED_FRAMES
from vimix_adapters.clips.hdf5_writer import as_stored, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.dis import DisFlow
from vimix_adapters.flow.estimator import FlowEstimator
from vimix_adapters.flow.fields import flow_fields
from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow


def torch_tvl1() -> FlowEstimator:
    """On a CUDA GPU where there is one, else on one thread of the CPU."""
    if torch.cuda.is_available():
        return TorchTvL1Flow("cuda")
    torch.set_num_threads(1)
    return TorchTvL1Flow("cpu")


ESTIMATORS: dict[str, Callable[[], FlowEstimator]] = {"dis": DisFlow, "tvl1": TvL1Flow, "tvl1-torch": torch_tvl1}


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
        frames = decoded.frames
        if settings.flow_origin == STORED_FRAMES:
            frames = as_stored(rgb, RGB, settings)
        packed[FLOW] = flow_fields(frames, _estimator(settings), settings.flow_short_side, size, settings.flow_bound)
    return packed, decoded.rate


def _estimator(settings: PackSettings) -> FlowEstimator:
    if settings.flow not in ESTIMATORS:
        raise VimixError(
            f"the store's flow is {settings.flow} ({settings.flow_origin}): other videos' cannot be computed alike"
        )
    return ESTIMATORS[settings.flow]()


def pack_job(job: PackJob, settings: PackSettings, decoder: VideoDecoder = decode_video) -> None:
    """What a worker does with one file."""
    frames, rate = pack_frames(job.video, settings, decoder)
    write_part(job.part, frames, rate, settings)
