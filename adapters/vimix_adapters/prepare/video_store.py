"""Video files as parts, one a video, and the parts as a store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix.values.segment import Segment
from vimix_adapters.clips.decode import FrameSource, Reading, first_frames, open_frames
from vimix_adapters.clips.display import Frame, resized
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore, group_of
from vimix_adapters.clips.hdf5_writer import (
    Entry,
    FileTiming,
    as_jpeg,
    as_stored,
    file_timing,
    merge_parts,
    part_writer,
)
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.files import telling_outages
from vimix_adapters.flow.fields import FlowEstimator, FlowOfPieces, flow_fields
from vimix_adapters.flow.opencv import DisFlow, TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow
from vimix_adapters.prepare.build_store import DiskUse, PartJob, StoredFile
from vimix_adapters.prepare.worker_pool import allow, run_jobs

LIMITED_SECONDS = 600.0
"""Length of a video to which the time limit applies; a longer one has more time."""
SAMPLE = 24
"""Number of videos that are looked into to estimate the size of a store."""
SAMPLE_SECONDS = 60.0
"""Time limit of such a video."""


@frozen
class VideoStoreBuilder:
    """Implements ``vimix_adapters.prepare.build_store.StoreBuilder``."""

    settings: PackSettings
    seconds: float = 600.0
    """Time limit of a video, for each ten minutes of it."""
    work: Callable[[PartJob], None] = field()
    """Function that a worker process calls to make a part."""
    files_a_part: int = 1
    unit: str = "videos"

    @work.default
    def _default_work(self) -> Callable[[PartJob], None]:
        return partial(write_part_of_video, settings=self.settings, seconds=self.seconds)

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
        """Estimate the size of the store from the first frames of some files, encoded as in the store.

        They are decoded in a worker process, which they may crash.
        """
        numbers = np.unique(np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().astype(int))
        sample = [files[number] for number in numbers]
        outcomes = run_jobs(partial(size_of, settings=self.settings), sample, 1, SAMPLE_SECONDS)
        sizes = [outcome.value for outcome in outcomes if outcome.value]
        return DiskUse(round(float(np.mean(sizes)) * len(files)), len(sizes)) if sizes else None

    def write(self, store: Path, files: Sequence[StoredFile], classes: Sequence[str], left_out: int) -> None:
        """Join the parts to a store, atomically. Raises WriteError if it cannot be written."""
        entries = [Entry(s.part, s.file.name, s.label, s.file.source, s.file.splits, s.group) for s in files]
        merge_parts(store, entries, classes, self.settings, left_out)


def pack_pieces(
    reading: Reading, settings: PackSettings, flow: bool = True
) -> Iterator[tuple[Modality, NDArray[np.uint8]]]:
    """Yield a video as a store with ``settings`` holds it, in pieces: uint8 [T, H, W, C] of a modality.

    Without ``flow`` the pictures are the same, but no flow is computed.
    Raises VimixError with the reason if the video cannot be read.
    """
    cv2.setNumThreads(1)
    fields: FlowOfPieces | None = None
    for piece in reading.pieces():
        rgb = np.stack([resized(frame, settings.short_side) for frame in piece])
        yield RGB, rgb
        if flow and settings.flow != "none":
            size = (int(rgb.shape[1]), int(rgb.shape[2]))
            fields = fields or FlowOfPieces(
                flow_estimator(settings), settings.flow_short_side, size, settings.flow_bound
            )
            yield FLOW, fields.add(as_stored(rgb, RGB, settings) if settings.flow_origin == STORED_FRAMES else piece)
    if fields is not None:
        yield FLOW, fields.end()


def reading_of(source: FrameSource, settings: PackSettings, segment: Segment | None = None) -> Reading:
    """Prepare to read a video, or a segment of it, at the size that the frames and the flow of ``settings`` need."""
    with_flow = settings.flow != "none"
    largest = max(settings.short_side, settings.flow_short_side) if with_flow else settings.short_side
    return Reading(source, settings.rate, largest, segment)


def pack_frames(
    path: Path, settings: PackSettings, flow: bool = True
) -> tuple[dict[Modality, NDArray[np.uint8]], Reading]:
    """Read a whole video as ``pack_pieces`` does: uint8 [T, H, W, C] by modality, and its rates."""
    reading = reading_of(open_frames(path), settings)
    pieces: dict[Modality, list[NDArray[np.uint8]]] = {}
    for modality, piece in pack_pieces(reading, settings, flow):
        pieces.setdefault(modality, []).append(piece)
    return {modality: np.concatenate(whole) for modality, whole in pieces.items()}, reading


def flow_estimator(settings: PackSettings) -> FlowEstimator:
    """Build the estimator of the settings. Raises VimixError if their flow was imported."""
    estimators: dict[str, Callable[[], FlowEstimator]] = {"dis": DisFlow, "tvl1": TvL1Flow, "tvl1-torch": _torch_tvl1}
    if settings.flow not in estimators:
        raise VimixError(
            f"the flow of the store is {settings.flow} ({settings.flow_origin}): it cannot be computed in the same way "
            "for other videos"
        )
    return estimators[settings.flow]()


def write_part_of_video(job: PartJob, settings: PackSettings, seconds: float = 0.0) -> None:
    """Read a video, or a segment of it, into a part, in pieces. Raises VimixError with the reason if it cannot be read,
    Outage if it may be later.

    ``seconds`` is the time limit for each ten minutes of the video.
    """
    (file,) = job.files
    with telling_outages(file.path):
        source = open_frames(file.path, file.pattern, file.rate)
        if seconds and source.seconds > LIMITED_SECONDS:
            allow(seconds * source.seconds / LIMITED_SECONDS)
        reading = reading_of(source, settings, file.segment)
    with telling_outages(file.path), part_writer(job.part, settings) as part:
        for modality, frames in pack_pieces(reading, settings):
            part.append(modality, frames)
        part.finish(reading.rate, FileTiming(reading.file_rate, reading.file_frames))


def size_of(file: DatasetFile, settings: PackSettings) -> float:
    """Return the bytes that a file will take: its number of frames times the size of its first; 0 if unreadable."""
    source, segment = open_frames(file.path, file.pattern, file.rate), file.segment
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


def _torch_tvl1() -> FlowEstimator:
    """Build TV-L1 for a CUDA GPU if there is one, else for one thread of the CPU."""
    if torch.cuda.is_available():
        return TorchTvL1Flow("cuda")
    torch.set_num_threads(1)
    return TorchTvL1Flow("cpu")
