"""Writing a store of skeletons: one contiguous float32 array ``/joint`` [N, T, V, M, C] holds all sequences.

The store is assembled from parts, files that hold some sequences each.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import JOINT
from vimix_adapters.clips.hdf5_head import Head, members_of, write_head
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.files import replacing, sweep

Sequences = NDArray[np.float32]


@frozen
class SkeletonEntry:
    """A sequence as the store records it. ``rate`` is the number of stored frames per second of the recording."""

    name: str
    label: int
    source: str
    splits: tuple[str, ...]
    rate: float


def write_skeleton_part(
    path: Path, sequences: Sequence[Sequences], outcomes: Sequence[int | str], settings: SkeletonSettings
) -> None:
    """Write some sequences float32 [T, V, M, C], in order, to one file, atomically.

    ``outcomes`` has an item for each input file: its number of recorded frames, or the reason why it gave no sequence.
    Raises ValueError for another shape or dtype, and WriteError if the disk is full.
    """
    shape = _shape(settings)
    for sequence in sequences:
        if sequence.shape != shape or sequence.dtype != np.float32:
            raise ValueError(f"expected float32 {shape}, got {sequence.dtype} {sequence.shape}")
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as part:
        part[JOINT] = np.array(sequences, dtype="<f4").reshape(-1, *shape)
        part.attrs["outcomes"] = json.dumps(list(outcomes))


def part_outcomes(path: Path) -> list[int | str]:
    """Return the ``outcomes`` that ``write_skeleton_part`` wrote, or an empty list if the file is not a whole part."""
    try:
        with h5py.File(path, "r") as part:
            outcomes: list[int | str] = json.loads(part.attrs["outcomes"])
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError):
        return []
    return outcomes


def write_skeleton_store(
    path: Path,
    parts: Sequence[Path],
    entries: Sequence[SkeletonEntry],
    classes: Sequence[str],
    settings: SkeletonSettings,
    quarantined: int,
) -> None:
    """Write the sequences of all parts, one for each entry, to one store, atomically. Raises VimixError: disk full."""
    sweep(path)
    checksums: list[str] = []
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w", libver="latest") as store:
            array = store.create_dataset(JOINT, shape=(len(entries), *_shape(settings)), dtype="<f4")
            for part in parts:
                with h5py.File(part, "r") as file:
                    block = file[JOINT][...]
                array[len(checksums) : len(checksums) + len(block)] = block
                checksums += [hashlib.sha256(sequence.tobytes()).hexdigest() for sequence in block]
            store["checksums"] = np.array(checksums, dtype="S64")
            listed = [
                {"name": e.name, "label": e.label, "source": e.source, "frames": settings.frames, "rate": e.rate}
                for e in entries
            ]
            head = Head(tuple(classes), members_of([entry.splits for entry in entries]), settings, quarantined)
            write_head(store, head.listing(listed, checksums))
    except OSError as error:
        raise VimixError(f"{path}: the store could not be written ({error})") from error


def _shape(settings: SkeletonSettings) -> tuple[int, int, int, int]:
    return settings.frames, len(settings.layout.joints), settings.persons, len(settings.channels)
