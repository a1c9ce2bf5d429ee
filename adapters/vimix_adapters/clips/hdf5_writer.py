"""Writing a store of videos: each video to a part, and all parts to one HDF5 file."""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import h5py
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.hdf5 import decoded, opened_hdf5, runs
from vimix_adapters.clips.hdf5_assembly import Placed, seal, write_store
from vimix_adapters.clips.hdf5_head import Head, members_of
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.files import WriteError, replacing, sweep

Frames = NDArray[np.uint8]


@frozen
class Entry:
    """A finished part, and what the store records about its video."""

    part: Path
    name: str
    label: int
    source: str
    splits: tuple[str, ...]
    group: str = "video"
    """Group of the part that holds the video."""


@frozen
class FileTiming:
    """Mean frames a second and number of frames of a video file, and how many of them were left out of the store."""

    rate: float
    frames: int
    thinned: int = 0


class PartWriter:
    """Writes one video in pieces, so that a long one takes no more memory than a short one."""

    def __init__(self, file: h5py.File, folder: Path, settings: PackSettings) -> None:
        self._file, self._folder, self._settings = file, folder, settings
        self._spools: dict[Modality, _Spool] = {}

    def append(self, modality: Modality, frames: Frames) -> None:
        """Add frames uint8 [T, H, W, C] to those of the modality."""
        if modality not in self._spools:
            self._spools[modality] = _Spool(self._folder, frames.shape[1:])
        raw = self._settings.codec == "raw"
        for frame in frames:
            self._spools[modality].add(frame if raw else as_jpeg(frame, modality, self._settings.quality))

    def finish(self, rate: float, timing: FileTiming | None = None) -> None:
        """Put all frames into the file, with checksums.

        ``timing`` is that of the video file, for the report; it does not go into the store.
        """
        group = self._file.create_group("video")
        for modality, spool in self._spools.items():
            spool.store(group, modality, raw=self._settings.codec == "raw")
        group.attrs["frames"] = min(len(spool.sizes) for spool in self._spools.values())
        group.attrs["rate"] = rate
        seal(group)
        if timing is not None:
            self._file.attrs.update({"file_rate": timing.rate, "file_frames": timing.frames})


@contextmanager
def part_writer(path: Path, settings: PackSettings) -> Iterator[PartWriter]:
    """Yield a writer of one video to an HDF5 file, which exists if the block ends well.

    Raises WriteError if the disk is full or cannot lock files.
    """
    sweep(path)
    with replacing(path) as temporary, opened_hdf5(temporary, "w") as file:
        yield PartWriter(file, path.parent, settings)


def write_part(path: Path, frames: Mapping[Modality, Frames], rate: float, settings: PackSettings) -> None:
    """Write one whole video, uint8 [T, H, W, C] by modality, as ``part_writer`` does."""
    with part_writer(path, settings) as part:
        for modality, pictures in frames.items():
            part.append(modality, pictures)
        part.finish(rate)


def file_timing(path: Path) -> FileTiming | None:
    """Return the timing of the video file of a part; None if the part is not finished or has no timing."""
    if not is_part(path):
        return None
    with opened_hdf5(path) as file:
        if "file_rate" not in file.attrs:
            return None
        frames = int(file.attrs["file_frames"])
        return FileTiming(float(file.attrs["file_rate"]), frames, frames - int(file["video"].attrs["frames"]))


def is_part(path: Path) -> bool:
    """Return whether the file is a complete part. Raises WriteError if it cannot be locked."""
    try:
        with opened_hdf5(path) as file:
            return "checksum" in file["video"].attrs
    except WriteError:
        raise
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError):
        return False


def merge_parts(
    path: Path, entries: Sequence[Entry], classes: Sequence[str], settings: PackSettings, quarantined: int
) -> None:
    """Write all parts, in order, to one store, atomically. Raises VimixError if the disk is full; the parts stay."""
    videos = [Placed(entry.name, entry.label, entry.source, ((entry.part, entry.group),)) for entry in entries]
    splits = members_of([entry.splits for entry in entries])
    write_store(path, videos, Head(tuple(classes), splits, settings, quarantined))


def as_stored(pictures: Frames, modality: Modality, settings: PackSettings) -> Frames:
    """Return pictures uint8 [T, H, W, C] as they would be read back from a store."""
    if settings.codec == "raw":
        return pictures
    return np.stack([decoded(as_jpeg(picture, modality, settings.quality), modality) for picture in pictures])


def as_jpeg(picture: Frames, modality: Modality, quality: int) -> Frames:
    """Encode a frame uint8 [H, W, C] as the bytes of a JPEG picture, uint8 [N]."""
    flat = np.concatenate([picture[..., 0], picture[..., 1]]) if modality == FLOW else picture[..., ::-1]
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(flat), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise VimixError(f"OpenCV could not write a frame of shape {picture.shape} as JPEG")
    pieces: Frames = coded.reshape(-1)
    return pieces


class _Spool:
    """Coded frames of a modality, one after the other, in a file without a name: HDF5 wants to know the total size."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self.sizes: list[int] = []
        self._shape = shape
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # lives as long as the spool

    def add(self, coded: Frames) -> None:
        self._file.write(np.ascontiguousarray(coded).data)
        self.sizes.append(coded.size)

    def store(self, group: h5py.Group, modality: Modality, raw: bool) -> None:
        ends = np.cumsum(self.sizes, dtype=np.int64)
        shape = (len(self.sizes), *self._shape) if raw else (int(ends[-1]),)
        data = group.create_dataset(modality, shape=shape, dtype=np.uint8)
        if not raw:
            group.create_dataset(f"{modality}.ends", data=ends)
        self._file.seek(0)
        for rows in runs(data):
            wanted = (rows.stop - rows.start, *shape[1:])
            data[rows] = np.frombuffer(self._file.read(math.prod(wanted)), np.uint8).reshape(wanted)
        self._file.close()
