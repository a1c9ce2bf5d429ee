"""Assembling a store from pieces in other HDF5 files: parts, shards, or another store and its flow."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from attrs import frozen

from vimix_adapters.clips.hdf5 import (
    checksum_of,
    group_of,
    modalities_in,
    opened_hdf5,
    require_own_data,
    total_checksum,
)
from vimix_adapters.clips.hdf5_head import Head, as_text, write_head
from vimix_adapters.files import WriteError, make_folder, replacing, sweep

Piece = tuple[Path, str]
"""A file, and the path of a group in it that holds some or all modalities of a video."""


@frozen
class Placed:
    """A video of the new store and the pieces with its modalities. Frames and rate are taken from the first piece."""

    name: str
    label: int
    source: str
    pieces: tuple[Piece, ...]


def seal(group: h5py.Group) -> None:
    """Write the checksum of each modality that has none, and the video's checksum over those of all modalities."""
    for modality in modalities_in(group):
        attributes = group[modality].attrs
        if "checksum" not in attributes:
            attributes["checksum"] = np.bytes_(checksum_of(group, modality))
    group.attrs["checksum"] = np.bytes_(total_checksum(group))


def write_store(path: Path, videos: Sequence[Placed], head: Head) -> None:
    """Write all videos, in order, to one store, atomically.

    Raises WriteError if the disk is full, if possible before it writes. The pieces and an existing ``path`` are kept.
    """
    sweep(path)
    require_room(path, sum(file.stat().st_size for file in {file for video in videos for file, _ in video.pieces}))
    with replacing(path) as temporary, opened_hdf5(temporary, "w") as store, _sources() as opened:
        store.create_group("videos")
        listed, checksums = [], []
        for number, video in enumerate(videos):
            group = store.create_group(group_of(number))
            for file, name in video.pieces:
                _copy(opened(file)[name], group)
            seal(group)
            about = {"name": video.name, "label": video.label, "source": video.source}
            group.attrs.update(about)
            listed.append({**about, "frames": int(group.attrs["frames"]), "rate": float(group.attrs["rate"])})
            checksums.append(as_text(group.attrs["checksum"]))
        write_head(store, head.listing(listed, checksums))


def _copy(piece: h5py.Group, group: h5py.Group) -> None:
    require_own_data(piece)
    for name in piece:
        if name not in group:
            piece.copy(name, group)
    for key in ("frames", "rate"):
        if key not in group.attrs:
            group.attrs[key] = piece.attrs[key]


def measured(videos: Sequence[Placed]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield for each video the bytes of its data, and the checksums of its pieces, in order."""
    with _sources() as opened:
        for video in videos:
            sizes: dict[str, int] = {}
            checksums = []
            for file, name in video.pieces:
                piece = opened(file)[name]
                require_own_data(piece)
                sizes = {**{key: piece[key].nbytes for key in piece}, **sizes}
                checksums.append(as_text(piece.attrs["checksum"]))
            yield sum(sizes.values()), tuple(checksums)


def require_room(path: Path, needed: int) -> None:
    """Raise WriteError unless the disk of ``path`` has ``needed`` bytes; makes the folder."""
    make_folder(path.parent)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise WriteError(
            f"{path}: about {needed / 2**30:.2f} GiB are needed, {free / 2**30:.2f} are free: free some space and run "
            "the command again; finished parts are kept"
        )


@contextmanager
def _sources() -> Iterator[Any]:
    """Yield a function that opens a file. The last few stay open, because neighbouring videos are often in one file."""
    kept: dict[Path, h5py.File] = {}

    def opened(path: Path) -> h5py.File:
        if path not in kept:
            if len(kept) == 4:
                kept.pop(next(iter(kept))).close()
            kept[path] = opened_hdf5(path)
        kept[path] = kept.pop(path)  # moved to the end: the least recently used file is closed first
        return kept[path]

    try:
        yield opened
    finally:
        for file in kept.values():
            file.close()
