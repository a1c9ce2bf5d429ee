"""A store of videos in one HDF5 file: reading.

Layout: ``/videos/<number>`` is a group a video, its attributes say name, label, source, frames, rate and checksum. Each
modality is a dataset with a checksum of its own: raw stores hold uint8 [T, H, W, C], JPEG stores the frames' bytes end
to end with ``<m>.ends``. Flow as JPEG is one grey picture a frame, u above v: colour pictures would share detail
between u and v. A store of skeletons has one array for all, ``/joint`` [N, T, V, M, 3] float32 (see
``skeleton_writer``).
"""

import hashlib
import itertools
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from attrs import asdict, field, frozen
from attrs.validators import and_, ge, gt, in_, le
from numpy.typing import NDArray

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, JOINT, RGB, Modality
from vimix.values.video import ModalityFormat, Video
from vimix_adapters.clips.skeleton_settings import SkeletonSettings
from vimix_adapters.files import require_file

SCHEMA = "vimix-store-1"
STORED_FRAMES = "stored frames"
"""The ``flow_origin`` of flow that was computed from the store's own pictures."""


@frozen
class PackSettings:
    """How videos are turned into what a store holds."""

    short_side: int = field(default=128, validator=ge(16))
    """Of the stored frames, pixels."""
    flow: str = field(default="tvl1", validator=in_(("none", "dis", "tvl1", "tvl1-torch", "imported")))
    flow_short_side: int = field(default=128, validator=ge(16))
    """At which flow is computed, before it is resized to ``short_side``."""
    flow_bound: float = field(default=20.0, validator=gt(0))
    """Displacement in pixels of the stored frames at which flow is clipped."""
    rate: float = field(default=30.0, validator=ge(0))
    """Frames a second; 0 keeps each video's own."""
    codec: str = field(default="jpeg", validator=in_(("jpeg", "raw")))
    quality: int = field(default=95, validator=and_(ge(1), le(100)))
    """Of JPEG."""
    flow_origin: str = ""
    """Where flow was added later: ``STORED_FRAMES``, or the convention of the files that were imported."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What a store made so holds."""
        return (RGB,) if self.flow == "none" else (RGB, FLOW)


StoreSettings = PackSettings | SkeletonSettings
"""How videos or skeletons are turned into what a store holds."""


class Hdf5VideoStore:
    """Implements ``vimix.ports.clips.VideoStore``. Raises VimixError if the file is missing or no store.

    The file is opened on first use in each process and never crosses a fork or a pickle.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: h5py.File | None = None
        self._arrays: dict[Modality, h5py.Dataset] = {}
        require_file(path, "store", "make one with vimix prepare")
        with self._opening() as file:
            if file.attrs.get("schema") != SCHEMA:
                raise VimixError(f"{path}: schema {file.attrs.get('schema')!r}, expected {SCHEMA!r}: prepare it again")
            self._head: dict[str, Any] = json.loads(file.attrs["head"])

    def _opening(self) -> h5py.File:
        try:
            return h5py.File(self._path, "r")
        except OSError as error:
            raise VimixError(f"{self._path}: expected a store (HDF5), but it does not open ({error})") from error

    @cached_property
    def videos(self) -> Sequence[Video]:
        """All videos in the order of their numbers."""
        return tuple(Video(**video) for video in self._head["videos"])

    @property
    def classes(self) -> Sequence[str]:
        """Class names."""
        return tuple(self._head["classes"])

    @cached_property
    def settings(self) -> PackSettings | SkeletonSettings:
        """How its videos or skeletons were packed."""
        return settings_of(self._head["settings"])

    @property
    def picture_settings(self) -> PackSettings:
        """The settings of a store of videos. Raises VimixError if it holds skeletons."""
        if isinstance(self.settings, SkeletonSettings):
            raise VimixError(f"{self._path} holds skeletons: this needs a store of videos (vimix prepare folder)")
        return self.settings

    def sequence(self, number: int) -> tuple[bytes, str]:
        """A skeleton sequence's bytes as they lie in the file, and the checksum that was written with them."""
        file = self._file()
        return file[JOINT][number].astype("<f4").tobytes(), file["checksums"].asstr()[number]

    @cached_property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        """RGB, and flow unless it was left out; or joint, motion and bone."""
        return formats_of(self.settings)

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits."""
        return tuple(self._head["splits"])

    @property
    def fingerprint(self) -> str:
        """Short hash over settings, names, lengths and checksums."""
        return str(self._head["fingerprint"])

    @property
    def quarantined(self) -> int:
        """Files that were left out when the store was made."""
        return int(self._head["quarantined"])

    def members(self, split: str) -> Sequence[int]:
        """Indices of a split's videos. Raises VimixError for an unknown split."""
        if split not in self._head["splits"]:
            raise VimixError(f"{self._path} has no split {split!r}, only {', '.join(self.splits)}")
        return tuple(self._head["splits"][split])

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        """Frames as uint8 [count, H, W, C], or of a skeleton float32 [count, V, M, 3].

        Raises IndexError outside the video, VimixError for damaged frames.
        """
        known = self.videos[video]
        if not (start >= 0 and count > 0 and start + count <= known.frames):
            raise IndexError(f"{known.name} has {known.frames} frames; {start} to {start + count} were asked for")
        try:
            if isinstance(self.settings, SkeletonSettings):
                sequence: Frames = self._array(modality)[video, start : start + count]
                return sequence
            return _frames(self.group(video), modality, start, count)
        except (OSError, KeyError, cv2.error, ValueError) as error:
            raise VimixError(f"{self._path}: {known.name} ({modality}) cannot be read: {error}") from error

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def group(self, video: int) -> h5py.Group:
        """Where a video lies in the file. Raises KeyError if it is missing there."""
        return self._file()[f"videos/{video:08d}"]

    def _file(self) -> h5py.File:
        if self._handle is None:
            self._handle = self._opening()
            _OPENED.add(self)
        return self._handle

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        handle, self._handle = self._handle, None
        self._arrays = {}
        if handle is not None:
            handle.close()

    def _array(self, modality: Modality) -> h5py.Dataset:
        """Looked up once: that takes seven times as long as reading a sequence."""
        file = self._file()
        if modality not in self._arrays:
            self._arrays[modality] = file[modality]
        return self._arrays[modality]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_arrays": {}}


_OPENED: "weakref.WeakSet[Hdf5VideoStore]" = weakref.WeakSet()


def _forget_handles() -> None:
    """In a forked child, before anything else: HDF5 would go on with the parent's open file and share it."""
    for store in list(_OPENED):
        store.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_handles)


def settings_of(head: Mapping[str, Any]) -> PackSettings | SkeletonSettings:
    """Settings from plain data."""
    return SkeletonSettings(**head) if "layout" in head else PackSettings(**head)


def formats_of(settings: PackSettings | SkeletonSettings) -> dict[Modality, ModalityFormat]:
    """The formats of a store with such settings."""
    if isinstance(settings, SkeletonSettings):
        return settings.formats
    formats = {RGB: ModalityFormat(RGB, channels=3)}
    if settings.flow != "none":
        about = json.dumps({key: value for key, value in asdict(settings).items() if key.startswith("flow")})
        formats[FLOW] = ModalityFormat(FLOW, channels=2, bound=settings.flow_bound, extra=about)
    return formats


def modalities_in(group: h5py.Group) -> list[Modality]:
    """What a video's group holds, in alphabetical order."""
    return [Modality(name) for name in sorted(group) if not name.endswith(".ends")]


def checksum_of(group: h5py.Group, modality: Modality) -> str:
    """SHA-256 over type, shape and bytes of a modality's datasets, in hexadecimal."""
    digest = hashlib.sha256()
    for name in (modality, f"{modality}.ends"):
        if name in group:
            values = np.ascontiguousarray(group[name][...])
            digest.update(f"{values.dtype.str} {values.shape} ".encode())
            digest.update(values.data)
    return digest.hexdigest()


def _frames(group: h5py.Group, modality: Modality, start: int, count: int) -> NDArray[np.uint8]:
    data = group[modality]
    if f"{modality}.ends" not in group:
        frames: NDArray[np.uint8] = data[start : start + count]
        return frames
    ends = group[f"{modality}.ends"][max(start - 1, 0) : start + count]
    ends = ends if start else np.concatenate([[0], ends])
    coded = data[int(ends[0]) : int(ends[-1])]
    pieces = [coded[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
    return np.stack([decoded(piece, modality) for piece in pieces])


def decoded(coded: NDArray[np.uint8], modality: Modality) -> NDArray[np.uint8]:
    """A frame [H, W, C] from its JPEG bytes. Raises ValueError if they are none."""
    picture: Any = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("a frame is not a JPEG picture")
    if modality == FLOW:
        return np.stack(np.split(picture, 2), axis=-1)
    frame: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return frame
