"""A store of videos in one HDF5 file: writing, video by video into parts, and the parts into one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.hdf5 import SCHEMA, PackSettings
from vimix_adapters.files import replacing

Frames = NDArray[np.uint8]


@frozen
class Entry:
    """A finished part and where its video belongs."""

    part: Path
    name: str
    label: int
    source: str
    splits: tuple[str, ...]


def write_part(path: Path, frames: Mapping[Modality, Frames], rate: float, settings: PackSettings) -> None:
    """One video, uint8 [T, H, W, C] by modality, as an HDF5 file of its own; atomic."""
    checksum = hashlib.sha256()
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        group = file.create_group("video")
        for modality, pictures in frames.items():
            _write_modality(group, modality, pictures, settings)
            checksum.update(np.ascontiguousarray(group[modality][...]).data)
        group.attrs["frames"] = min(map(len, frames.values()))
        group.attrs["rate"] = rate
        group.attrs["checksum"] = checksum.hexdigest()


def is_part(path: Path) -> bool:
    """Whether the file is a whole part."""
    try:
        with h5py.File(path, "r") as file:
            return "checksum" in file["video"].attrs
    except (OSError, KeyError):
        return False


def merge_parts(
    path: Path, entries: Sequence[Entry], classes: Sequence[str], settings: PackSettings, quarantined: int
) -> None:
    """All parts, in order, as one store; atomic. Raises VimixError if the disk is full: the parts stay."""
    try:
        with replacing(path) as temporary:
            _merge(temporary, entries, classes, settings, quarantined)
    except OSError as error:
        raise VimixError(f"{path}: the store could not be written ({error}); the finished videos are kept") from error


def _merge(
    path: Path, entries: Sequence[Entry], classes: Sequence[str], settings: PackSettings, quarantined: int
) -> None:
    videos: list[dict[str, Any]] = []
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    with h5py.File(path, "w", libver="latest") as store:
        store.create_group("videos")
        for number, entry in enumerate(entries):
            with h5py.File(entry.part, "r") as part:
                part.copy("video", store, f"videos/{number:08d}")
            attributes = store[f"videos/{number:08d}"].attrs
            attributes.update({"name": entry.name, "label": entry.label, "source": entry.source})
            video = {"frames": int(attributes["frames"]), "rate": float(attributes["rate"])}
            videos.append({"name": entry.name, "label": entry.label, "source": entry.source, **video})
            digest.update(json.dumps([videos[-1], str(attributes["checksum"])], sort_keys=True).encode())
        names = sorted({split for entry in entries for split in entry.splits})
        splits = {name: [i for i, entry in enumerate(entries) if name in entry.splits] for name in names}
        head = {
            "videos": videos,
            "classes": list(classes),
            "splits": splits,
            "settings": asdict(settings),
            "quarantined": quarantined,
            "fingerprint": digest.hexdigest()[:16],
        }
        # In a dataset's place an attribute of its own: larger than the 64 KiB that older formats allow.
        store.attrs["head"] = json.dumps(head)
        store.attrs["schema"] = SCHEMA


def _write_modality(group: h5py.Group, modality: Modality, pictures: Frames, settings: PackSettings) -> None:
    if settings.codec == "raw":
        group.create_dataset(modality, data=pictures)
        return
    coded = [_jpeg(picture, modality, settings.quality) for picture in pictures]
    group.create_dataset(modality, data=np.concatenate(coded))
    group.create_dataset(f"{modality}.ends", data=np.cumsum([len(piece) for piece in coded], dtype=np.int64))


def _jpeg(picture: Frames, modality: Modality, quality: int) -> Frames:
    flat = np.concatenate([picture[..., 0], picture[..., 1]]) if modality == FLOW else picture[..., ::-1]
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(flat), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise VimixError(f"OpenCV could not write a frame of shape {picture.shape} as JPEG")
    pieces: Frames = coded.reshape(-1)
    return pieces
