"""Checking that a store still holds what was written: every byte is read and every frame is decoded."""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from attrs import asdict, frozen

from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import Video
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, checksum_of, require_own_data, total_checksum
from vimix_adapters.clips.hdf5_head import as_text
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.files import WriteError

RUN = 64
"""Number of frames that are decoded at once."""
_opened = lru_cache(maxsize=1)(Hdf5VideoStore)
"""Opens the store once in each worker process."""


def check_video(number: int, store: Path) -> None:
    """Read one video in full. Raises VimixError listing all problems. The store stays open in this process."""
    if problems := list(_problems(_opened(store), number)):
        raise VimixError("; ".join(problems))


@frozen
class StoreOverview:
    """Facts about a store that a process without the file needs."""

    videos: tuple[Video, ...]
    modalities: tuple[Modality, ...]
    fingerprint: str
    fits: bool
    """Whether the fingerprint is that of the content."""


def overview(store: Path) -> StoreOverview:
    """Open a store and compare its fingerprint. Raises VimixError if the file is no store."""
    opened = _opened(store)
    return StoreOverview(tuple(opened.videos), tuple(opened.formats), opened.fingerprint, fits_fingerprint(opened))


def fits_fingerprint(store: Hdf5VideoStore) -> bool:
    """Return whether the fingerprint is that of the settings, classes, splits, videos and checksums in the file."""
    numbers, videos = range(len(store.videos)), [asdict(video) for video in store.videos]
    try:
        checksums = [store.checksum(number) for number in numbers]
    except (KeyError, OSError, RuntimeError, VimixError):
        return False
    return bool(store.head.listing(videos, checksums)["fingerprint"] == store.fingerprint)


def _problems(store: Hdf5VideoStore, number: int) -> Iterator[str]:
    if isinstance(store.settings, SkeletonSettings):
        yield from _differences_of_skeleton(store, number)
        return
    try:
        group = store.group(number)
        require_own_data(group)
        missing = [modality for modality in store.formats if modality not in group]
        yield from (f"{modality}: missing" for modality in missing)
        for modality in store.formats:
            if modality not in missing:
                yield from _differences(group, modality)
                yield from _undecodable(store, number, modality)
        if not missing and as_text(group.attrs.get("checksum", "")) != total_checksum(group):
            yield "its modalities are not those that were written together (checksum of the video)"
    except WriteError:
        raise  # a lock or a lost disk is no fault of the video
    except VimixError as error:
        yield str(error)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        yield f"cannot be read: {' '.join(str(error).split())}"


def _differences_of_skeleton(store: Hdf5VideoStore, number: int) -> Iterator[str]:
    try:
        if hashlib.sha256(store.sequence(number)).hexdigest() != store.checksum(number):
            yield "joint: its bytes are not those that were written (checksum)"
    except (KeyError, OSError, RuntimeError, ValueError, IndexError) as error:
        yield f"cannot be read: {' '.join(str(error).split())}"


def _differences(group: h5py.Group, modality: Modality) -> Iterator[str]:
    if group[modality].dtype != np.uint8:
        yield f"{modality}: expected bytes (uint8), found {group[modality].dtype}"
    if "checksum" not in group[modality].attrs:
        yield f"{modality}: its checksum is missing"
    elif as_text(group[modality].attrs["checksum"]) != checksum_of(group, modality):
        yield f"{modality}: its bytes are not those that were written (checksum)"


def _undecodable(store: Hdf5VideoStore, number: int, modality: Modality) -> Iterator[str]:
    frames, channels = store.videos[number].frames, store.formats[modality].channels
    shapes = set()
    try:
        for start in range(0, frames, RUN):
            shapes.add(store.read(number, modality, start, min(RUN, frames - start)).shape[1:])
    except VimixError as error:
        yield str(error).removeprefix(f"{store.path}: ")
    if len(shapes) > 1 or any(shape[-1] != channels for shape in shapes):
        yield f"{modality}: expected frames of one size with {channels} channels, found {sorted(shapes)}"
