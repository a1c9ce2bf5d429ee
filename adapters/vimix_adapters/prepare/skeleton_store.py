"""``vimix prepare ntu60``, ``ntu120`` and ``skeletons``: from skeleton files to a store of one array."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from attrs import asdict
from rich.console import Console

from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.skeleton_writer import SkeletonEntry, part_outcomes, write_skeleton_store
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.datasets.skeleton_files import SkeletonFile, SkeletonListing
from vimix_adapters.files import require_writable
from vimix_adapters.prepare.parts import claim_parts, list_parts, parts_of
from vimix_adapters.prepare.progress import run_shown
from vimix_adapters.prepare.skeleton_job import SkeletonJob, pack_skeletons
from vimix_adapters.prepare.video_store import Report, read_quarantine, version_key, write_quarantine

RATE = 30
"""Frames a second that Kinect records (MSRAction3D: 15, for which the files give no sign)."""
TOGETHER = 64
"""Files a part: a fraction of a second of work, which is what an interruption costs each worker."""
SECONDS = 3600.0
"""That a part may take: disks may be slow, not dead."""


def prepare_skeletons(
    listing: SkeletonListing, store: Path, settings: SkeletonSettings, workers: int, console: Console
) -> Report:
    """Store all listed sequences; go on where an earlier call was stopped, but for parts with files that failed.

    What cannot be read is left out and listed in ``STORE.quarantine.csv``; samples that the authors exclude are listed
    there too, but no failure. Raises VimixError if the store exists with other settings or files, no sequence at all
    could be stored, or the store cannot be written.
    """
    if (report := _already_there(listing, store, settings, console)) is not None:
        return report
    require_writable(store)
    parts = parts_of(store)
    claim_parts(parts, asdict(settings))
    jobs = _jobs(listing, parts)
    list_parts(parts, {job.part.name: f"{job.files[0].name} and {len(job.files) - 1} more" for job in jobs})
    _read(jobs, settings, workers, console)
    outcomes = [outcome for job in jobs for outcome in part_outcomes(job.part)]
    entries, failures = _sorted(listing, outcomes, settings)
    failures = sorted([*failures, *listing.left_out])
    write_quarantine(store, [*failures, *listing.excluded])
    if not entries:
        raise VimixError(f"none of {_asked(listing)} sequences could be read, the first: {': '.join(failures[0])}")
    out = len(failures) + len(listing.excluded)
    write_skeleton_store(store, [job.part for job in jobs], entries, listing.classes, settings, out)
    shutil.rmtree(parts, ignore_errors=True)
    return Report(_asked(listing), len(entries), tuple(failures))


def split_counts(store: Path) -> dict[str, int]:
    """Sequences by split."""
    there = Hdf5VideoStore(store)
    return {split: len(there.members(split)) for split in there.splits}


def _asked(listing: SkeletonListing) -> int:
    return len(listing.files) + len(listing.left_out)


def _already_there(
    listing: SkeletonListing, store: Path, settings: SkeletonSettings, console: Console
) -> Report | None:
    """The report of a store that was made from the same files before; None if there is none."""
    if not store.exists():
        return None
    there = Hdf5VideoStore(store)
    excluded = {name for name, _ in listing.excluded}
    left_out = [row for row in read_quarantine(store) if row[0] not in excluded]
    names = {video.name for video in there.videos} | {name for name, _ in left_out}
    asked = {file.name for file in listing.files} | {name for name, _ in listing.left_out}
    if there.settings != settings or names != asked:
        what = "other settings" if there.settings != settings else "other files"
        raise VimixError(f"{store} exists and was made with {what}: choose another --out, or delete it first")
    shutil.rmtree(parts_of(store), ignore_errors=True)  # where the call that finished it was killed right then
    console.print(f"{store} is complete: nothing to do (delete it to make it again)")
    return Report(len(asked), len(there.videos), tuple(left_out))


def _jobs(listing: SkeletonListing, parts: Path) -> list[SkeletonJob]:
    """The files in order, some together."""
    groups = [listing.files[first : first + TOGETHER] for first in range(0, len(listing.files), TOGETHER)]
    return [SkeletonJob(tuple(file.path for file in files), parts / f"{version_key(*files)}.h5") for files in groups]


def _read(jobs: Sequence[SkeletonJob], settings: SkeletonSettings, workers: int, console: Console) -> None:
    """See to it that all parts are there."""
    done = {job.part for job in jobs if _without_failure(part_outcomes(job.part))}
    if done:
        console.print(f"{len(done)} of {len(jobs)} parts of {TOGETHER} sequences were read before: going on")
    to_do, work = [job for job in jobs if job.part not in done], partial(pack_skeletons, settings=settings)
    failed = run_shown("reading", "files", work, to_do, workers, SECONDS, console, lambda job: len(job.files))
    if failed:
        first = failed[0]
        raise VimixError(
            f"{len(failed)} parts of the files could not be read, the first, from {first.job.files[0]} on: "
            f"{first.reason}; call it again, with fewer --workers if memory is short: what was read is kept"
        )


def _without_failure(outcomes: Sequence[int | str]) -> bool:
    """Whether it is a whole part in which nothing failed: what failed may have been the disk's fault."""
    return bool(outcomes) and not any(isinstance(outcome, str) for outcome in outcomes)


def _sorted(
    listing: SkeletonListing, outcomes: Sequence[int | str], settings: SkeletonSettings
) -> tuple[list[SkeletonEntry], list[tuple[str, str]]]:
    """Entries of the sequences that could be read, in order, and (name, reason) of the others."""
    entries: list[SkeletonEntry] = []
    failures: list[tuple[str, str]] = []
    for file, outcome in zip(listing.files, outcomes, strict=True):
        if isinstance(outcome, str):
            failures.append((file.name, outcome))
        else:
            entries.append(_entry(file, listing.classes, RATE * settings.frames / outcome))
    return entries, failures


def _entry(file: SkeletonFile, classes: Sequence[str], rate: float) -> SkeletonEntry:
    return SkeletonEntry(file.name, classes.index(file.class_name), file.source, file.splits, rate)
