"""Skeleton files as parts, and the parts as a store of one array."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import FileTiming
from vimix_adapters.clips.skeleton_writer import (
    SkeletonEntry,
    part_outcomes,
    write_skeleton_part,
    write_skeleton_store,
)
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.datasets.listing import DatasetFile, Listing
from vimix_adapters.files import Outage, telling_outages
from vimix_adapters.prepare.build_store import PartJob, StoredFile
from vimix_adapters.prepare.disk_use import DiskUse
from vimix_adapters.skeletons.convert import Preparation, pack_file
from vimix_adapters.skeletons.layouts import find_layout

RATE = 30
"""Frames a second of Kinect. MSRAction3D has 15, which its files do not say."""


@frozen
class SkeletonStoreBuilder:
    """Implements ``vimix_adapters.prepare.build_store.StoreBuilder``."""

    settings: SkeletonSettings
    files_a_part: int = 64
    """Files in a part: reading them takes a fraction of a second, which is what an interruption costs each worker."""
    seconds: float = 3600.0
    """Time limit of a part, long enough for a slow disk."""
    unit: str = "sequences"

    @property
    def work(self) -> Callable[[PartJob], None]:
        """Function that a worker process calls to make a part."""
        return partial(write_part_of_skeletons, settings=self.settings)

    def check(self) -> None:
        """Do nothing: each file fails for reasons of its own."""

    def is_done(self, part: Path) -> bool:
        """Whether the part holds all its files: those that failed are read again, since the disk may be to blame."""
        outcomes = part_outcomes(part)
        return bool(outcomes) and not any(isinstance(outcome, str) for outcome in outcomes)

    def kept(self, _store: Hdf5VideoStore, /) -> Mapping[str, str]:
        """Return nothing: reading all files again takes minutes."""
        return {}

    def failures(self, job: PartJob, reason: str | None) -> Sequence[str | None]:
        """Return why each file was left out, None for a file in the part. Raises VimixError if the job failed."""
        if reason is not None:
            raise VimixError(
                f"the files from {job.files[0].path} on could not be read: {reason}; call again to go on, with fewer "
                "--workers if memory is short"
            )
        return [outcome if isinstance(outcome, str) else None for outcome in part_outcomes(job.part)]

    def timings(self, _files: Sequence[StoredFile], /) -> Sequence[FileTiming]:
        """Return nothing: skeleton files do not name their rate."""
        return ()

    def disk_use(self, files: Sequence[DatasetFile]) -> DiskUse | None:
        """Return the size of the array, which all sequences share alike."""
        settings = self.settings
        return DiskUse(len(files) * settings.frames * len(settings.layout.joints) * settings.persons * 12, len(files))

    def write(self, store: Path, files: Sequence[StoredFile], classes: Sequence[str], left_out: int) -> None:
        """Join the parts to a store, atomically. Raises VimixError if it cannot be written."""
        parts = list(dict.fromkeys(stored.part for stored in files))
        lengths = [outcome for part in parts for outcome in part_outcomes(part) if not isinstance(outcome, str)]
        entries = [
            SkeletonEntry(s.file.name, s.label, s.file.source, s.file.splits, RATE * self.settings.frames / length)
            for s, length in zip(files, lengths, strict=True)
        ]
        write_skeleton_store(store, parts, entries, classes, self.settings, left_out)


def skeleton_store_builder(
    listing: Listing, layout: str, frames: int, persons: int, denoise: str, align: str
) -> SkeletonStoreBuilder:
    """Build from the options of ``vimix prepare``; 0 ``persons``: one for ``.txt`` files, else two.

    ``layout`` is the name of a layout or the path of a TOML file. Raises VimixError if there is no such layout.
    """
    only_text = all(file.path.suffix == ".txt" for file in listing.files)
    settings = SkeletonSettings(find_layout(layout), frames, persons or (1 if only_text else 2), denoise, align)
    return SkeletonStoreBuilder(settings)


def pack_skeleton(path: Path, settings: SkeletonSettings) -> NDArray[np.float32]:
    """Read a skeleton file as a store with ``settings`` holds it: float32 [T, V, M, 3].

    Raises VimixError with the reason if the file cannot be read.
    """
    return pack_file(path, _preparation(settings)).joints


def write_part_of_skeletons(job: PartJob, settings: SkeletonSettings) -> None:
    """Read files into a part; for a file that cannot be read, the part holds the reason. Raises Outage."""
    preparation, sequences = _preparation(settings), []
    outcomes: list[int | str] = []
    for file in job.files:
        try:
            with telling_outages(file.path):
                packed = pack_file(file.path, preparation)
        except Outage:
            raise
        except VimixError as error:
            outcomes.append(str(error))
        else:
            sequences.append(packed.joints)
            outcomes.append(packed.recorded)
    write_skeleton_part(job.part, sequences, outcomes, settings)


def _preparation(settings: SkeletonSettings) -> Preparation:
    return Preparation(settings.layout, settings.frames, settings.persons, settings.denoise, settings.align)
