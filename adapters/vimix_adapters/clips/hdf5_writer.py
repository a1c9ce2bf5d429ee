"""Writing a store of videos: each video to a part, and all parts to one HDF5 file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.hdf5 import decoded
from vimix_adapters.clips.hdf5_assembly import Head, Placed, seal, write_store
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.files import replacing

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


def write_part(
    path: Path,
    frames: Mapping[Modality, Frames],
    rate: float,
    settings: PackSettings,
    timing: FileTiming | None = None,
) -> None:
    """Write one video, uint8 [T, H, W, C] by modality, to an HDF5 file, atomically. Raises WriteError: disk full.

    ``timing`` is that of the video file, for the report; it does not go into the store.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        group = file.create_group("video")
        for modality, pictures in frames.items():
            _write_modality(group, modality, pictures, settings)
        group.attrs["frames"] = min(map(len, frames.values()))
        group.attrs["rate"] = rate
        seal(group)
        if timing is not None:
            file.attrs.update({"file_rate": timing.rate, "file_frames": timing.frames})


def file_timing(path: Path) -> FileTiming | None:
    """Return the timing of the video file of a part; None if the part is not finished or has no timing."""
    if not is_part(path):
        return None
    with h5py.File(path, "r") as file:
        if "file_rate" not in file.attrs:
            return None
        frames = int(file.attrs["file_frames"])
        return FileTiming(float(file.attrs["file_rate"]), frames, frames - int(file["video"].attrs["frames"]))


def is_part(path: Path) -> bool:
    """Return whether the file is a complete part."""
    try:
        with h5py.File(path, "r") as file:
            return "checksum" in file["video"].attrs
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError):
        return False


def merge_parts(
    path: Path, entries: Sequence[Entry], classes: Sequence[str], settings: PackSettings, quarantined: int
) -> None:
    """Write all parts, in order, to one store, atomically. Raises VimixError if the disk is full; the parts stay."""
    videos = [Placed(entry.name, entry.label, entry.source, ((entry.part, entry.group),)) for entry in entries]
    names = sorted({split for entry in entries for split in entry.splits})
    splits = {name: [i for i, entry in enumerate(entries) if name in entry.splits] for name in names}
    write_store(path, videos, Head(tuple(classes), splits, settings, quarantined))


def as_stored(pictures: Frames, modality: Modality, settings: PackSettings) -> Frames:
    """Return pictures uint8 [T, H, W, C] as they would be read back from a store."""
    if settings.codec == "raw":
        return pictures
    return np.stack([decoded(as_jpeg(picture, modality, settings.quality), modality) for picture in pictures])


def _write_modality(group: h5py.Group, modality: Modality, pictures: Frames, settings: PackSettings) -> None:
    if settings.codec == "raw":
        group.create_dataset(modality, data=pictures)
        return
    coded = [as_jpeg(picture, modality, settings.quality) for picture in pictures]
    group.create_dataset(modality, data=np.concatenate(coded))
    group.create_dataset(f"{modality}.ends", data=np.cumsum([len(piece) for piece in coded], dtype=np.int64))


def as_jpeg(picture: Frames, modality: Modality, quality: int) -> Frames:
    """Encode a frame uint8 [H, W, C] as the bytes of a JPEG picture, uint8 [N]."""
    flat = np.concatenate([picture[..., 0], picture[..., 1]]) if modality == FLOW else picture[..., ::-1]
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(flat), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise VimixError(f"OpenCV could not write a frame of shape {picture.shape} as JPEG")
    pieces: Frames = coded.reshape(-1)
    return pieces
