"""A store of skeletons: all sequences in one array ``/joint`` [N, T, V, M, 3], float32, one after the other on disk."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import JOINT
from vimix_adapters.clips.hdf5 import SCHEMA
from vimix_adapters.clips.skeleton_settings import SkeletonSettings
from vimix_adapters.files import replacing

Sequences = NDArray[np.float32]

COPIED = 1024
"""Sequences written at once."""


@frozen
class SkeletonEntry:
    """A sequence's place in the store. ``rate``: stored frames a second of the recording."""

    name: str
    label: int
    source: str
    splits: tuple[str, ...]
    rate: float


class SkeletonSpool:
    """Sequences on their way into a store, on disk in the order in which they come; the store is written at once."""

    def __init__(self, path: Path, settings: SkeletonSettings) -> None:
        self._file = path.open("w+b")
        self._shape = (settings.frames, len(settings.layout.joints), settings.persons, 3)
        self._settings = settings
        self.checksums: list[str] = []

    def add(self, sequence: Sequences) -> int:
        """Append a sequence [T, V, M, 3]; its number."""
        if sequence.shape != self._shape or sequence.dtype != np.float32:
            raise ValueError(f"expected float32 {self._shape}, got {sequence.dtype} {sequence.shape}")
        data = np.ascontiguousarray(sequence, dtype="<f4").tobytes()
        self._file.write(data)
        self.checksums.append(hashlib.sha256(data).hexdigest())
        return len(self.checksums) - 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def blocks(self) -> Iterable[Sequences]:
        """All sequences in order, some at a time."""
        self._file.flush()
        self._file.seek(0)
        size = 4 * int(np.prod(self._shape))
        while data := self._file.read(COPIED * size):
            yield np.frombuffer(data, dtype="<f4").reshape(-1, *self._shape)


def write_skeleton_store(
    path: Path,
    spool: SkeletonSpool,
    entries: Sequence[SkeletonEntry],
    classes: Sequence[str],
    settings: SkeletonSettings,
    quarantined: int,
) -> None:
    """The spooled sequences with their entries as one store; atomic. Raises VimixError if the disk is full."""
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as store:
            shape = (len(entries), settings.frames, len(settings.layout.joints), settings.persons, 3)
            array, done = store.create_dataset(JOINT, shape=shape, dtype="<f4"), 0
            for block in spool.blocks():
                array[done : done + len(block)] = block
                done += len(block)
            store["checksums"] = spool.checksums
            store.attrs["head"] = json.dumps(_head(spool, entries, classes, settings, quarantined))
            store.attrs["schema"] = SCHEMA
    except OSError as error:
        raise VimixError(f"{path}: the store could not be written ({error})") from error


def _head(
    spool: SkeletonSpool,
    entries: Sequence[SkeletonEntry],
    classes: Sequence[str],
    settings: SkeletonSettings,
    quarantined: int,
) -> dict[str, Any]:
    videos = [
        {
            "name": entry.name,
            "label": entry.label,
            "source": entry.source,
            "frames": settings.frames,
            "rate": entry.rate,
        }
        for entry in entries
    ]
    names = sorted({split for entry in entries for split in entry.splits})
    return {
        "videos": videos,
        "classes": list(classes),
        "splits": {name: [i for i, entry in enumerate(entries) if name in entry.splits] for name in names},
        "settings": asdict(settings),
        "quarantined": quarantined,
        "fingerprint": skeleton_fingerprint(settings, videos, spool.checksums),
    }


def skeleton_fingerprint(settings: SkeletonSettings, videos: Sequence[dict[str, Any]], checksums: Sequence[str]) -> str:
    """A short hash of all that a store of skeletons holds."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for video, checksum in zip(videos, checksums, strict=True):
        digest.update(json.dumps([video, checksum], sort_keys=True).encode())
    return digest.hexdigest()[:16]
