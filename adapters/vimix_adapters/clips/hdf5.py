"""Reading a store: one HDF5 file that holds videos or skeletons, or a folder of such files (see ``shards``).

``/head`` lists the videos (see ``hdf5_head``). ``/videos/<number>`` is the group of a video. Its attributes are name,
label, source, frames, rate and checksum. Each modality is a dataset with its own checksum. Raw stores hold uint8
[T, H, W, C]. JPEG stores hold the frames' bytes one after the other, and ``<modality>.ends`` the position where each
frame ends. Flow as JPEG is one grey picture a frame, u above v, because a colour picture would mix details of u and v.
A store of skeletons has a single array ``/joint`` [N, T, V, M, C] float32 (see ``skeleton_writer``).
"""

import hashlib
import itertools
import math
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, JOINT, RGB, Modality
from vimix.values.video import ModalityFormat, Video
from vimix_adapters.clips.hdf5_head import Head, as_text, read_head
from vimix_adapters.clips.limits import MOST_PIXELS, require_at_most
from vimix_adapters.clips.shards import OPEN_FILES, ShardFile, head_file, places_of
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings, StoreSettings
from vimix_adapters.files import WriteError, require_file

STORED_FRAMES = "stored frames"
"""The ``flow_origin`` of flow that was computed from the frames in the store."""
RUN_BYTES = 2**24
"""Bytes of a dataset that are read or written at once."""


class Hdf5VideoStore:
    """Implements ``vimix.ports.clips.VideoStore``. Raises VimixError if the file is missing or no store.

    Each process opens a file on first use. Open files are never inherited by a fork or pickled.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handles: dict[Path, h5py.File] = {}
        self._arrays: dict[tuple[Path, Modality], h5py.Dataset] = {}
        self._own: set[int] = set()
        about = head_file(path)
        require_file(about, "store", "make one with vimix prepare")
        try:
            with _opened(about) as file:
                self._head = read_head(file, about)
            self._require_whole_head()
            self._places = places_of(self._head, path)
        except WriteError:
            raise
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise VimixError(
                f"{path}: expected a store, but its list of videos cannot be read ({type(error).__name__}: {error}): "
                "restore a copy, or prepare it again"
            ) from error

    def _require_whole_head(self) -> None:
        """Raise ValueError, or what its values raise, unless the head describes videos."""
        numbers, labels = range(len(self.videos)), range(-1, len(self.classes))
        odd = [
            video.name for video in self.videos if video.label not in labels or video.frames < 1 or not video.rate > 0
        ]
        odd += [name for name in self.splits if not all(number in numbers for number in self.members(name))]
        if odd:
            raise ValueError(f"{odd[0]!r} has no valid label, length or members")
        for needed in ("fingerprint", "quarantined", "formats"):
            getattr(self, needed)

    @cached_property
    def videos(self) -> Sequence[Video]:
        """The videos in the order of their numbers."""
        return tuple(Video(**video) for video in self._head["videos"])

    @property
    def classes(self) -> Sequence[str]:
        """Class names, indexed by the labels."""
        return tuple(self._head["classes"])

    @cached_property
    def settings(self) -> StoreSettings:
        """Settings with which the videos or skeletons were packed."""
        return settings_of(self._head["settings"])

    @property
    def picture_settings(self) -> PackSettings:
        """Settings of a store of videos. Raises VimixError if the store holds skeletons."""
        if isinstance(self.settings, SkeletonSettings):
            raise VimixError(f"{self._path} holds skeletons: this needs a store of videos (vimix prepare folder)")
        return self.settings

    def sequence(self, number: int) -> bytes:
        """Return the bytes of a skeleton sequence in the file."""
        file, place = self._file(number)
        sequence: bytes = file[JOINT][place].astype("<f4").tobytes()
        return sequence

    def checksum(self, number: int) -> str:
        """Return the checksum that was written with a video or a skeleton sequence.

        Raises KeyError, OSError, RuntimeError or VimixError if the file lacks it or is damaged.
        """
        if isinstance(self.settings, SkeletonSettings):
            file, place = self._file(number)
            return str(file["checksums"].asstr()[place])
        return as_text(self.group(number).attrs["checksum"])

    @cached_property
    def formats(self) -> Mapping[Modality, ModalityFormat]:
        """Formats by modality: RGB, and flow if it was packed; or joint, motion and bone."""
        return formats_of(self.settings)

    @property
    def splits(self) -> Sequence[str]:
        """Names of the splits."""
        return tuple(self._head["splits"])

    @property
    def fingerprint(self) -> str:
        """A short hash over settings, and over names, labels, lengths and checksums."""
        return str(self._head["fingerprint"])

    @property
    def quarantined(self) -> int:
        """Number of unreadable files that were left out when the store was made."""
        return int(self._head["quarantined"])

    @property
    def head(self) -> Head:
        """Classes, splits and settings, as a store with the same videos records them."""
        splits = {name: self.members(name) for name in self.splits}
        return Head(tuple(self.classes), splits, self.settings, self.quarantined)

    def members(self, split: str) -> Sequence[int]:
        """Return the indices of a split's videos. Raises VimixError for an unknown split."""
        if split not in self._head["splits"]:
            raise VimixError(f"{self._path} has no split {split!r}, only {', '.join(self.splits)}")
        return tuple(self._head["splits"][split])

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        """Read frames as uint8 [count, H, W, C], or float32 [count, V, M, C] from a store of skeletons.

        Raises IndexError outside the video and VimixError for damaged frames.
        """
        about = self.videos[video]
        if not (start >= 0 and count > 0 and start + count <= about.frames):
            raise IndexError(f"{about.name} has {about.frames} frames; {start} to {start + count} were asked for")
        try:
            if isinstance(self.settings, SkeletonSettings):
                array, place = self._array(video, modality)
                sequence: Frames = array[place, start : start + count]
                hidden = np.isnan(sequence) if self.settings.not_found == "mask" else False
                if not (np.isfinite(sequence) | hidden).all():  # a training would be blamed for them
                    raise ValueError("the data hold numbers that are not finite; prepare the store again")
                return sequence
            return _frames(self.group(video), modality, start, count)
        except (OSError, KeyError, RuntimeError, cv2.error, ValueError, VimixError) as error:
            raise VimixError(f"{self._path}: {about.name} ({modality}) cannot be read: {error}") from error

    @property
    def path(self) -> Path:
        """Path of the file, or of the folder of shards."""
        return self._path

    @property
    def files(self) -> Sequence[Path]:
        """The files that hold the videos: the store itself, or its shards."""
        return [shard.path for shard in self._places.shards]

    @property
    def shard_bytes(self) -> int:
        """Size of a shard at which the next begins; 0 for a store in one file."""
        return int(self._head.get("shard_bytes", 0))

    def place(self, video: int) -> tuple[Path, str]:
        """Return the file with a video, and the path of its group there."""
        shard, number = self._places.of(video)
        return shard.path, group_of(number)

    def group(self, video: int) -> h5py.Group:
        """Return a video's group.

        Raises KeyError if the file lacks it, VimixError if its data lie in another file.
        """
        file, place = self._file(video)
        group = file[group_of(place)]
        if video not in self._own:
            require_own_data(group)
            _require_frames(group, self.videos[video].frames)
            self._own.add(video)
        return group

    def _file(self, video: int) -> tuple[h5py.File, int]:
        """Return the open file with a video, and the video's number there."""
        shard, number = self._places.of(video)
        if shard.path not in self._handles:
            if len(self._handles) == OPEN_FILES:
                self._close(next(iter(self._handles)))
            self._handles[shard.path] = _opened_shard(shard)
            _OPENED.add(self)
        return self._handles[shard.path], number

    def close(self) -> None:
        """Close all files. The next read opens them again."""
        for path in list(self._handles):
            self._close(path)

    def _close(self, path: Path) -> None:
        self._arrays = {key: array for key, array in self._arrays.items() if key[0] != path}
        self._handles.pop(path).close()

    def _array(self, video: int, modality: Modality) -> tuple[h5py.Dataset, int]:
        """Return the dataset with a sequence, and its number there.

        A dataset is looked up once: looking it up takes seven times as long as reading a sequence.
        """
        file, number = self._file(video)
        key = (self._places.of(video)[0].path, modality)
        if key not in self._arrays:
            require_own_data(file, [modality])
            self._arrays[key] = file[modality]
        return self._arrays[key], number

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}, "_arrays": {}}


_OPENED: "weakref.WeakSet[Hdf5VideoStore]" = weakref.WeakSet()


def _forget_handles() -> None:
    """Close all stores in a forked child, because HDF5 would share the open file, and its position, with the parent."""
    for store in list(_OPENED):
        store.close()


os.register_at_fork(after_in_child=_forget_handles)


def _opened(path: Path) -> h5py.File:
    try:
        return opened_hdf5(path)
    except WriteError:
        raise
    except OSError as error:
        raise VimixError(f"{path}: expected a store (HDF5), but it does not open ({error})") from error


def _opened_shard(shard: ShardFile) -> h5py.File:
    """Open a file of a store. Raises VimixError if it is another shard than the one that was indexed."""
    file = _opened(shard.path)
    if shard.fingerprint and read_head(file, shard.path).get("fingerprint") != shard.fingerprint:
        file.close()
        raise VimixError(
            f"{shard.path} is not the shard that the index was made of: restore it, or make the index again with "
            f"vimix store index {shard.path.parent} --force"
        )
    return file


def settings_of(head: Mapping[str, Any]) -> StoreSettings:
    """Build settings from plain data."""
    return SkeletonSettings(**head) if "layout" in head else PackSettings(**head)


def formats_of(settings: StoreSettings) -> dict[Modality, ModalityFormat]:
    """Return the formats of a store with these settings."""
    if isinstance(settings, SkeletonSettings):
        return settings.formats
    formats = {RGB: ModalityFormat(RGB, channels=3)}
    if settings.flow != "none":
        formats[FLOW] = ModalityFormat(FLOW, channels=2, bound=settings.flow_bound)
    return formats


def group_of(video: int) -> str:
    """Return the path of a video's group in the file."""
    return f"videos/{video:08d}"


def modalities_in(group: h5py.Group) -> list[Modality]:
    """Return the modalities in a video's group, in alphabetical order."""
    return [Modality(name) for name in sorted(group) if not name.endswith(".ends")]


def total_checksum(group: h5py.Group) -> str:
    """Return the checksum of a video over the checksums of its modalities. Raises KeyError if one is missing."""
    total = hashlib.sha256()
    for modality in modalities_in(group):
        total.update(f"{modality} {as_text(group[modality].attrs['checksum'])}\n".encode())
    return total.hexdigest()


def require_own_data(group: h5py.Group, names: Iterable[str] | None = None) -> None:
    """Raise VimixError unless the datasets of a group, or those ``names``, lie in the store's own file.

    HDF5 can link to other files and read data from them: a store from a stranger could read files of this machine.
    """
    for name in group if names is None else names:
        data = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
            raise VimixError(f"{name}: expected data in the store itself, but it is a link, or reads another file")
        require_at_most(data.nbytes, data.file.id.get_filesize(), f"{name} claims more bytes than the file has")


def _require_frames(group: h5py.Group, frames: int) -> None:
    """Raise VimixError if the list of videos claims more frames than a modality of the group has."""
    for modality in modalities_in(group):
        data = group[f"{modality}.ends" if f"{modality}.ends" in group else modality]
        require_at_most(frames, len(data), f"{modality}: the list of videos claims more frames than are stored")


def checksum_of(group: h5py.Group, modality: Modality) -> str:
    """Return the SHA-256 over type, shape and bytes of a modality's datasets, in hexadecimal."""
    digest = hashlib.sha256()
    for name in (modality, f"{modality}.ends"):
        if name in group:
            data = group[name]
            digest.update(f"{data.dtype.str} {data.shape} ".encode())
            for rows in runs(data):
                digest.update(np.ascontiguousarray(data[rows]).data)
    return digest.hexdigest()


def runs(data: h5py.Dataset) -> Iterator[slice]:
    """Yield ranges along the first axis of about 16 MiB each, which cover a dataset."""
    row = math.prod(data.shape[1:]) * data.dtype.itemsize
    step = max(1, RUN_BYTES // max(1, row))
    for start in range(0, data.shape[0], step):
        yield slice(start, min(start + step, data.shape[0]))


def opened_hdf5(path: Path, mode: str = "r") -> h5py.File:
    """Open an HDF5 file. Raises WriteError if the file system cannot lock it, or another process has; else OSError.

    WriteError ends the whole command at once, and blames no video.
    """
    try:
        return h5py.File(path, mode, libver="latest") if mode == "w" else h5py.File(path, mode)
    except OSError as error:
        if "lock file" not in str(error):
            raise
        raise WriteError(
            f"{path} cannot be locked: another process writes it, or its file system has no locks (NFS, Lustre); "
            "if no other process uses it, set the environment variable HDF5_USE_FILE_LOCKING=FALSE and call this again"
        ) from error


def _frames(group: h5py.Group, modality: Modality, start: int, count: int) -> NDArray[np.uint8]:
    data = group[modality]
    if f"{modality}.ends" not in group:
        require_at_most(math.prod(data.shape[1:3]), MOST_PIXELS, "pixels of a frame")
        frames: NDArray[np.uint8] = data[start : start + count]
        return frames
    ends = group[f"{modality}.ends"][max(start - 1, 0) : start + count]
    ends = ends if start else np.concatenate([[0], ends])
    coded = data[int(ends[0]) : int(ends[-1])]
    pieces = [coded[a - ends[0] : b - ends[0]] for a, b in itertools.pairwise(ends)]
    return np.stack([decoded(piece, modality) for piece in pieces])


def decoded(coded: NDArray[np.uint8], modality: Modality) -> NDArray[np.uint8]:
    """Decode a frame uint8 [H, W, C] from its JPEG bytes.

    Raises ValueError if they are not a JPEG picture, VimixError if it is larger than ``MOST_PIXELS``.
    """
    require_at_most(math.prod(jpeg_size(coded.tobytes())), MOST_PIXELS, "pixels of a JPEG frame")
    picture: Any = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError("a frame is not a JPEG picture")
    if modality == FLOW:
        return np.stack(np.split(picture, 2), axis=-1)
    frame: NDArray[np.uint8] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return frame


def jpeg_size(coded: bytes) -> tuple[int, int]:
    """Return (height, width) that the header of a JPEG picture declares. Raises ValueError if it has none."""
    if not coded.startswith(b"\xff\xd8"):
        raise ValueError("a frame is not a JPEG picture")
    place = 2
    while place + 9 <= len(coded) and coded[place] == 0xFF:
        marker = coded[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame; these three are tables
            return int.from_bytes(coded[place + 5 : place + 7]), int.from_bytes(coded[place + 7 : place + 9])
        place += 1 if marker == 0xFF else 2 + int.from_bytes(coded[place + 2 : place + 4])
    raise ValueError("a frame is not a JPEG picture")
