"""The head of a store: its videos, classes, splits and settings as JSON.

It is the dataset ``/head`` of bytes with their SHA-256 as an attribute. Stores of the schema ``vimix-store-1`` have it
as a text attribute instead. HDF5 keeps such texts on a heap without checksum, and damage there can hang the library.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from attrs import asdict, frozen

from vimix.values.errors import VimixError
from vimix_adapters.config.store_settings import StoreSettings, hashed

SCHEMA, OLD_SCHEMA = "vimix-store-2", "vimix-store-1"


@frozen
class Head:
    """Facts about the store as a whole. ``splits`` maps the name of a split to the numbers of its videos."""

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[int]]
    settings: StoreSettings
    quarantined: int

    def listing(self, videos: Sequence[Mapping[str, Any]], checksums: Sequence[str]) -> dict[str, Any]:
        """Return the head of a store with these videos, each with name, label, source, frames and rate."""
        splits = {name: list(members) for name, members in self.splits.items()}
        return {
            "videos": list(videos),
            "classes": list(self.classes),
            "splits": splits,
            "settings": asdict(self.settings),
            "quarantined": self.quarantined,
            "fingerprint": fingerprint(asdict(self.settings), videos, checksums, self.classes, splits),
        }


def members_of(splits: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    """Return the numbers of the videos of each split, sorted by its name, from the names of each video's splits."""
    names = sorted({name for video in splits for name in video})
    return {name: [number for number, video in enumerate(splits) if name in video] for name in names}


def fingerprint(
    settings: Mapping[str, Any],
    videos: Sequence[Mapping[str, Any]],
    checksums: Sequence[str],
    classes: Sequence[str],
    splits: Mapping[str, Sequence[int]],
) -> str:
    """Return a short hash over everything that decides a result.

    It covers settings, classes and splits, and each video's name, label, source, length, rate and checksum, in order.
    """
    whole = [hashed(settings), list(classes), {name: list(members) for name, members in splits.items()}]
    digest = sha256(json.dumps(whole, sort_keys=True).encode())
    for video, checksum in zip(videos, checksums, strict=True):
        digest.update(json.dumps([video, checksum], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def write_head(file: h5py.File, head: Mapping[str, Any]) -> None:
    """Write the head and the schema, which mark the file as a whole store."""
    data = json.dumps(head).encode()
    file["head"] = np.frombuffer(data, dtype=np.uint8)
    file["head"].attrs["sha256"] = np.bytes_(sha256(data).hexdigest())
    file.attrs["schema"] = np.bytes_(SCHEMA)


def read_head(file: h5py.File, path: Path) -> dict[str, Any]:
    """Read the head of a store of either schema. Raises VimixError if it is another file or the head is damaged."""
    schema = as_text(file.attrs.get("schema", ""))
    if schema not in (SCHEMA, OLD_SCHEMA):
        raise VimixError(f"{path}: schema {schema!r}, expected {SCHEMA!r}: prepare it again")
    text: str | bytes = file.attrs["head"] if schema == OLD_SCHEMA else _checked(file, path)
    head = json.loads(text)
    if not isinstance(head, dict):
        raise ValueError("its head is no table")
    return head


def as_text(value: Any) -> str:
    """Return the text of an attribute, which is ``bytes`` where it was written with a fixed length."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _checked(file: h5py.File, path: Path) -> bytes:
    own = file.get("head", getlink=True)
    data = file["head"] if isinstance(own, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual or data.nbytes > path.stat().st_size:
        raise VimixError(f"{path}: expected its list of videos (/head) in the store itself")
    text: bytes = data[...].tobytes()
    if as_text(data.attrs.get("sha256", "")) != sha256(text).hexdigest():
        raise VimixError(
            f"{path}: its list of videos is not what was written (checksum): restore a copy, or prepare it again"
        )
    return text
