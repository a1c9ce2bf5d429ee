"""A video file turned into what a store holds, and how a checkpoint remembers the settings of that."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from attrs import asdict, frozen
from numpy.typing import NDArray

from vimix.ports.decoder import VideoDecoder
from vimix.ports.flow import FlowEstimator
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.clips.decode import decode_video, resized
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore, PackSettings, StoreSettings, settings_of
from vimix_adapters.clips.hdf5_writer import as_stored, write_part
from vimix_adapters.flow.dis import DisFlow
from vimix_adapters.flow.fields import flow_fields
from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow


def torch_tvl1() -> FlowEstimator:
    """On a CUDA GPU where there is one, else on one thread of the CPU."""
    if torch.cuda.is_available():
        return TorchTvL1Flow("cuda")
    torch.set_num_threads(1)
    return TorchTvL1Flow("cpu")


PACKING = "packing"
"""The key of ``Checkpoint.about`` that holds the settings of the store as JSON."""

ESTIMATORS: dict[str, Callable[[], FlowEstimator]] = {"dis": DisFlow, "tvl1": TvL1Flow, "tvl1-torch": torch_tvl1}


@frozen
class PackJob:
    """One video to turn into a part."""

    video: Path
    part: Path


def pack_frames(
    path: Path, settings: PackSettings, decoder: VideoDecoder = decode_video, flow: bool = True
) -> tuple[dict[Modality, NDArray[np.uint8]], float]:
    """A video file as a store with ``settings`` would hold it: uint8 [T, H, W, C] by modality, and its rate.

    Without ``flow`` the pictures are the same, but no flow is computed.
    Raises VimixError with the reason if the file cannot be read.
    """
    cv2.setNumThreads(1)
    with_flow = settings.flow != "none"
    largest = max(settings.short_side, settings.flow_short_side) if with_flow else settings.short_side
    decoded = decoder(path, settings.rate, largest)
    rgb = np.stack([resized(frame, settings.short_side) for frame in decoded.frames])
    packed = {RGB: rgb}
    if with_flow and flow:
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


def store_settings(store: str) -> StoreSettings | None:
    """How the store in that file was packed; None if there is no such file."""
    return Hdf5VideoStore(Path(store)).settings if Path(store).is_file() else None


def packing_record(settings: StoreSettings | None) -> dict[str, str]:
    """What ``Checkpoint.about`` says of the store's settings: with them a checkpoint can be used without the store."""
    return {} if settings is None else {PACKING: json.dumps(asdict(settings))}


def recorded_packing(about: Mapping[str, Any]) -> StoreSettings | None:
    """The settings of the store that a checkpoint was trained on; None if it does not say."""
    return settings_of(json.loads(str(about[PACKING]))) if PACKING in about else None
