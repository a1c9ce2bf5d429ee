"""Skeleton files as parts, and the parts as a store of one array."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from vimix.values.errors import VimixError
from vimix_adapters.clips.skeleton_writer import (
    SkeletonEntry,
    part_outcomes,
    write_skeleton_part,
    write_skeleton_store,
)
from vimix_adapters.config.store_settings import CHANNELS, SkeletonSettings
from vimix_adapters.datasets.listing import DatasetFile, Listing
from vimix_adapters.files import Outage, telling_outages
from vimix_adapters.prepare.build_store import DiskUse, PartJob, StoreBuilder, StoredFile
from vimix_adapters.skeletons.formats import read_skeletons
from vimix_adapters.skeletons.layouts import find_layout
from vimix_adapters.skeletons.preprocess import pack_file
from vimix_adapters.skeletons.sequence import Expected

RATE = 30
"""Frames a second of Kinect. MSRAction3D has 15, which its files do not say."""
PROBED = 5
"""Number of files that are read to learn their channels and persons."""


@frozen
class SkeletonStoreBuilder(StoreBuilder):
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

    def is_done(self, part: Path) -> bool:
        """Whether the part holds all its files: those that failed are read again, since the disk may be to blame."""
        outcomes = part_outcomes(part)
        return bool(outcomes) and not any(isinstance(outcome, str) for outcome in outcomes)

    def failures(self, job: PartJob, reason: str | None) -> Sequence[str | None]:
        """Return why each file was left out, None for a file in the part. Raises VimixError if the job failed."""
        if reason is not None:
            raise VimixError(
                f"the files from {job.files[0].path} on could not be read: {reason}; call again to go on, with fewer "
                "--workers if memory is short"
            )
        return [outcome if isinstance(outcome, str) else None for outcome in part_outcomes(job.part)]

    def disk_use(self, files: Sequence[DatasetFile]) -> DiskUse | None:
        """Return the size of the array, which all sequences share alike."""
        settings = self.settings
        size = (
            len(files) * settings.frames * len(settings.layout.joints) * settings.persons * 4 * len(settings.channels)
        )
        return DiskUse(size, len(files))

    def write(self, store: Path, files: Sequence[StoredFile], classes: Sequence[str], left_out: int) -> None:
        """Join the parts to a store, atomically. Raises VimixError if it cannot be written."""
        parts = list(dict.fromkeys(stored.part for stored in files))
        lengths = [outcome for part in parts for outcome in part_outcomes(part) if not isinstance(outcome, str)]
        entries = [
            SkeletonEntry(s.file.name, s.label, s.file.source, s.file.splits, RATE * self.settings.frames / length)
            for s, length in zip(files, lengths, strict=True)
        ]
        write_skeleton_store(store, parts, entries, classes, self.settings, left_out)


@frozen
class SkeletonOptions:
    """The options of ``vimix prepare`` for skeletons."""

    layout: str = "ntu"
    """Name of a layout, or path of a TOML file."""
    frames: int = 50
    persons: int = 0
    """0: two, or one if the files have a place for one only."""
    denoise: str = "none"
    align: str = ""
    """Empty: ``shoulders`` for joints x y z, ``none`` for joints x y."""
    channels: tuple[str, ...] = ()
    """Empty: those of the first files."""
    not_found: str = "fill"
    axes: str = ""


def skeleton_settings(listing: Listing, options: SkeletonOptions) -> SkeletonSettings:
    """Return the settings of a store; settings that the options leave open are read from some of the files.

    Raises VimixError if there is no such layout, or an option does not fit the files.
    """
    layout = find_layout(options.layout)
    channels, persons = options.channels, options.persons
    if channels and channels not in CHANNELS:
        choices = " or ".join(",".join(names) for names in CHANNELS)
        raise VimixError(f"--channels {','.join(channels)}: expected {choices}")
    if not (channels and persons):
        expected = Expected(len(layout.joints), channels or None, options.axes)
        found, places = _probed(listing.files, expected)
        channels, persons = channels or found, persons or places
    align = options.align or ("shoulders" if "z" in channels else "none")
    return SkeletonSettings(
        layout, options.frames, persons, options.denoise, align, channels, options.not_found, options.axes
    )


def noted(listing: Listing, options: SkeletonOptions, settings: SkeletonSettings) -> Listing:
    """Add a note that says which channels were found, if the options do not name them."""
    if options.channels:
        return listing
    note = f"joints are {' '.join(settings.channels)} (other channels: --channels), persons: {settings.persons}"
    return evolve(listing, notes=(*listing.notes, note))


def _probed(files: Sequence[DatasetFile], expected: Expected) -> tuple[tuple[str, ...], int]:
    """Return the channels that all of some files have, and the persons that one of them has places for, at most two."""
    channels: list[tuple[str, ...]] = []
    places = []
    for file in files[:: max(1, len(files) // PROBED)][:PROBED]:
        try:
            raw = read_skeletons(file.path, expected, file.part)
        except VimixError:
            continue  # building the store names it
        channels.append(raw.channels)
        places.append(raw.places)
    most = min(2, max(places, default=2))
    return min(channels, key=CHANNELS.index, default=("x", "y", "z")), most


def write_part_of_skeletons(job: PartJob, settings: SkeletonSettings) -> None:
    """Read files into a part; for a file that cannot be read, the part holds the reason. Raises Outage."""
    sequences = []
    outcomes: list[int | str] = []
    for file in job.files:
        try:
            with telling_outages(file.path):
                joints, recorded = pack_file(file.path, settings, file.part)
        except Outage:
            raise
        except VimixError as error:
            outcomes.append(str(error))
        else:
            sequences.append(joints)
            outcomes.append(recorded)
    write_skeleton_part(job.part, sequences, outcomes, settings)
