"""Video files as parts, one a video, and the parts as a store."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.clips.decode import DecodedVideo, decode_video, resized
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore, group_of
from vimix_adapters.clips.hdf5_writer import Entry, FileTiming, as_stored, file_timing, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.files import telling_outages
from vimix_adapters.flow.dis import DisFlow
from vimix_adapters.flow.estimator import FlowEstimator
from vimix_adapters.flow.fields import flow_fields
from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow
from vimix_adapters.prepare.build_store import PartJob, StoredFile
from vimix_adapters.prepare.disk_use import DiskUse, estimate_disk_use


@frozen
class VideoStoreBuilder:
    """Implements ``vimix_adapters.prepare.build_store.StoreBuilder``."""

    settings: PackSettings
    seconds: float = 600.0
    """Time limit of a video."""
    work: Callable[[PartJob], None] = field()
    """Function that a worker process calls to make a part."""
    files_a_part: int = 1
    unit: str = "videos"

    @work.default
    def _default_work(self) -> Callable[[PartJob], None]:
        return partial(write_part_of_video, settings=self.settings)

    def check(self) -> None:
        """Raise VimixError if OpenCV lacks the flow estimator of the settings."""
        if self.settings.flow == "tvl1":
            TvL1Flow()

    def is_done(self, part: Path) -> bool:
        """Whether the part is finished. Parts of versions that repeated frames name no timing: they are made again."""
        return file_timing(part) is not None

    def kept(self, store: Hdf5VideoStore) -> Mapping[str, str]:
        """Return the group of each video: a new store copies it."""
        return {video.name: group_of(number) for number, video in enumerate(store.videos)}

    def failures(self, job: PartJob, reason: str | None) -> Sequence[str | None]:
        """Return the reason of the job, which has one file."""
        return [reason] * len(job.files)

    def timings(self, files: Sequence[StoredFile]) -> Sequence[FileTiming]:
        """Return the frame rate and the number of frames of each file."""
        return [timing for stored in files if (timing := file_timing(stored.part))]

    def disk_use(self, files: Sequence[DatasetFile]) -> DiskUse | None:
        """Estimate the size of the store from a sample of the files."""
        return estimate_disk_use([file.path for file in files], self.settings)

    def write(self, store: Path, files: Sequence[StoredFile], classes: Sequence[str], left_out: int) -> None:
        """Join the parts to a store, atomically. Raises WriteError if it cannot be written."""
        entries = [Entry(s.part, s.file.name, s.label, s.file.source, s.file.splits, s.group) for s in files]
        merge_parts(store, entries, classes, self.settings, left_out)


def pack_frames(
    path: Path, settings: PackSettings, flow: bool = True
) -> tuple[dict[Modality, NDArray[np.uint8]], DecodedVideo]:
    """Read a video file as a store with ``settings`` holds it: uint8 [T, H, W, C] by modality, and the decoded video.

    Without ``flow`` the pictures are the same, but no flow is computed.
    Raises VimixError with the reason if the file cannot be read.
    """
    cv2.setNumThreads(1)
    with_flow = settings.flow != "none"
    largest = max(settings.short_side, settings.flow_short_side) if with_flow else settings.short_side
    decoded = decode_video(path, settings.rate, largest)
    rgb = np.stack([resized(frame, settings.short_side) for frame in decoded.frames])
    packed = {RGB: rgb}
    if with_flow and flow:
        size = (int(rgb.shape[1]), int(rgb.shape[2]))
        frames = as_stored(rgb, RGB, settings) if settings.flow_origin == STORED_FRAMES else decoded.frames
        estimator = flow_estimator(settings)
        packed[FLOW] = flow_fields(frames, estimator, settings.flow_short_side, size, settings.flow_bound)
    return packed, decoded


def flow_estimator(settings: PackSettings) -> FlowEstimator:
    """Build the estimator of the settings. Raises VimixError if their flow was imported."""
    estimators: dict[str, Callable[[], FlowEstimator]] = {"dis": DisFlow, "tvl1": TvL1Flow, "tvl1-torch": _torch_tvl1}
    if settings.flow not in estimators:
        raise VimixError(
            f"the flow of the store is {settings.flow} ({settings.flow_origin}): it cannot be computed in the same way "
            "for other videos"
        )
    return estimators[settings.flow]()


def write_part_of_video(job: PartJob, settings: PackSettings) -> None:
    """Read a video into a part. Raises VimixError with the reason if it cannot be read, Outage if it may be later."""
    (file,) = job.files
    with telling_outages(file.path):
        frames, decoded = pack_frames(file.path, settings)
    write_part(job.part, frames, decoded.rate, settings, FileTiming(decoded.file_rate, decoded.file_frames))


def _torch_tvl1() -> FlowEstimator:
    """Build TV-L1 for a CUDA GPU if there is one, else for one thread of the CPU."""
    if torch.cuda.is_available():
        return TorchTvL1Flow("cuda")
    torch.set_num_threads(1)
    return TorchTvL1Flow("cpu")
