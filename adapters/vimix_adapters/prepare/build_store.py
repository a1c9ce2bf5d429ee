"""Build a store from a listing: each file is read once into a part, and all parts together become the store.

A part is finished or absent, so an interrupted call goes on where it stopped.
"""

import csv
import io
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from attrs import asdict, frozen
from rich.console import Console

from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import FileTiming
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings
from vimix_adapters.datasets.listing import DatasetFile, Listing
from vimix_adapters.files import require_new, sweep, write_text
from vimix_adapters.prepare.disk_use import DiskUse
from vimix_adapters.prepare.parts import claim_parts, drop_parts, parts_of
from vimix_adapters.prepare.progress import run_shown

UNLABELLED = -1
"""Label of a file without class."""


@frozen
class PartJob:
    """Files to read into one part."""

    files: tuple[DatasetFile, ...]
    part: Path


@frozen
class StoredFile:
    """A file that goes into the store, its label, and the part that holds its content."""

    file: DatasetFile
    label: int
    part: Path


class StoreBuilder(Protocol):
    """The steps of building a store that depend on its kind of files, videos or skeletons."""

    @property
    def settings(self) -> PackSettings | SkeletonSettings:
        """Settings of the store."""

    @property
    def unit(self) -> str:
        """Name of the files in messages: ``videos``."""

    @property
    def files_a_part(self) -> int:
        """Number of files in a part."""

    @property
    def seconds(self) -> float:
        """Time limit of a part."""

    @property
    def work(self) -> Callable[[PartJob], None]:
        """Function that a worker process calls to make a part."""

    def check(self) -> None:
        """Raise VimixError, before any work, for what would fail in every file."""

    def is_done(self, part: Path) -> bool:
        """Whether the part is finished and need not be made again."""

    def failures(self, job: PartJob, reason: str | None) -> Sequence[str | None]:
        """Return why each file of the job was left out, None for a file in the part; ``reason``: why the job failed."""

    def timings(self, files: Sequence[StoredFile], /) -> Sequence[FileTiming]:
        """Return frame rate and number of frames of each file with a frame rate; called before ``write``."""

    def disk_use(self, files: Sequence[DatasetFile]) -> DiskUse | None:
        """Estimate the size of the store; None if no file can be read."""

    def write(self, store: Path, files: Sequence[StoredFile], classes: Sequence[str], left_out: int) -> None:
        """Join the parts to a store, atomically. Raises WriteError if it cannot be written."""


@frozen
class BuildResult:
    """Result of a call of ``build_store``."""

    listed: int
    """Number of files that were to be stored."""
    stored: int
    failures: tuple[tuple[str, str], ...]
    """(name, reason) of each file that was left out."""
    written: bool = True
    """Whether the store exists now; if not, its parts are kept."""
    timings: tuple[FileTiming, ...] = ()
    """Frame rates of the files; empty for skeletons and for a store that was complete before."""


def build_store(
    listing: Listing,
    store: Path,
    builder: StoreBuilder,
    workers: int,
    console: Console,
    *,
    force: bool = False,
    all_needed: bool = False,
) -> BuildResult:
    """Store all files of the listing; go on where an earlier call was interrupted.

    Files that cannot be read are left out and listed in ``STORE.quarantine.csv``, together with those that the listing
    leaves out. A store that was made from the same files with the same settings is left as it is; ``force`` replaces
    it, and any other file. With ``all_needed`` no store is written if a file fails. Raises VimixError if ``store``
    exists and is something else, or no file could be read; WriteError if the store cannot be written.
    """
    if not force and (result := _complete(listing, store, builder.settings, console)) is not None:
        return result
    if not listing.files and not listing.left_out:
        raise VimixError(f"no file of {listing.dataset} was found: check the folder; missing is {_first(listing)}")
    builder.check()
    require_new(store, force, (file.path for file in listing.files))
    jobs = _jobs(listing.files, store, builder)
    contents = {job.part.name: _content(job) for job in jobs}
    claim_parts(parts_of(store), asdict(builder.settings), contents, replace=force)
    reasons = _make_parts(jobs, builder, workers, console)
    failures = tuple(sorted([*reasons.items(), *listing.left_out]))
    write_quarantine(store, [*failures, *listing.excluded])
    stored = _stored(jobs, listing.classes, reasons)
    listed = len(listing.files) + len(listing.left_out)
    if not stored:
        raise VimixError(f"none of {listed} {builder.unit} could be read, the first: {': '.join(failures[0])}")
    timings = tuple(builder.timings(stored))
    if reasons and all_needed:
        return BuildResult(listed, len(stored), failures, False, timings)
    builder.write(store, stored, listing.classes, len(failures) + len(listing.excluded))
    shutil.rmtree(parts_of(store), ignore_errors=True)
    return BuildResult(listed, len(stored), failures, True, timings)


def quarantine_file(store: Path) -> Path:
    """Return the CSV file with the files that were left out of a store, and the reasons."""
    return store.with_name(f"{store.stem}.quarantine.csv")


def write_quarantine(store: Path, failures: Sequence[tuple[str, str]]) -> None:
    """Write (name, reason) of the files that were left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(failures)
    sweep(quarantine_file(store))
    write_text(quarantine_file(store), text.getvalue())


def read_quarantine(store: Path) -> list[tuple[str, str]]:
    """Read (name, reason) of the files that were left out."""
    file = quarantine_file(store)
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [(row["path"], row["reason"]) for row in csv.DictReader(lines)]


def _first(listing: Listing) -> str:
    return f"{next(iter(listing.missing), 'nothing')}{', ...' if len(listing.missing) > 1 else ''}"


def _complete(
    listing: Listing, store: Path, settings: PackSettings | SkeletonSettings, console: Console
) -> BuildResult | None:
    """Return the result for a store that was made from the same files before; None if no file is there.

    Raises VimixError if the file is something else.
    """
    if not store.is_file():
        return None
    try:
        made = Hdf5VideoStore(store)
    except VimixError as error:
        raise VimixError(f"{error}; choose another --out, or replace it with --force") from error
    excluded = {name for name, _ in listing.excluded}
    left_out = [row for row in read_quarantine(store) if row[0] not in excluded]
    if what := _difference(made, listing, {name for name, _ in left_out}, settings):
        raise VimixError(f"{store} exists and was made with {what}: choose another --out, or replace it with --force")
    drop_parts(parts_of(store), asdict(settings))
    console.print(f"{store} is complete: nothing to do (--force makes it again)")
    return BuildResult(len(listing.files) + len(listing.left_out), len(made.videos), tuple(left_out))


def _difference(
    made: Hdf5VideoStore, listing: Listing, left_out: Collection[str], settings: PackSettings | SkeletonSettings
) -> str:
    """Say in what the store differs from the one to make; empty if in nothing."""
    if made.settings != settings:
        return "other settings"
    wanted = {file.name: (file.class_name, file.source, set(file.splits)) for file in listing.files}
    names = wanted.keys() | {name for name, _ in listing.left_out}
    if {video.name for video in made.videos} | set(left_out) != names:
        return "other files"
    splits: dict[int, set[str]] = {number: set() for number in range(len(made.videos))}
    for split in made.splits:
        for number in made.members(split):
            splits[number].add(split)
    for number, video in enumerate(made.videos):
        class_name = made.classes[video.label] if video.label != UNLABELLED else None
        if wanted.get(video.name) != (class_name, video.source, splits[number]):
            return "other labels, sources or splits"
    return ""


def _jobs(files: Sequence[DatasetFile], store: Path, builder: StoreBuilder) -> list[PartJob]:
    """Divide the files, in order, into parts; the name of a part changes when one of its files does."""
    groups = [tuple(files[i : i + builder.files_a_part]) for i in range(0, len(files), builder.files_a_part)]
    return [PartJob(group, parts_of(store) / f"{_key(group)}.h5") for group in groups]


def _key(files: Sequence[DatasetFile]) -> str:
    return sha256("\n".join(f"{file.name}\n{_version(file)}" for file in files).encode()).hexdigest()[:32]


def _version(file: DatasetFile) -> str:
    try:
        state = file.path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}{f' {file.rate}' if file.rate else ''}"


def _content(job: PartJob) -> str:
    first, more = job.files[0].name, len(job.files) - 1
    return f"{first} and {more} more" if more else first


def _make_parts(jobs: Sequence[PartJob], builder: StoreBuilder, workers: int, console: Console) -> dict[str, str]:
    """Make the parts that are not finished; returns the reason of each file, by name, that was left out."""
    to_do = [job for job in jobs if not builder.is_done(job.part)]
    total = sum(len(job.files) for job in jobs)
    if finished := total - sum(len(job.files) for job in to_do):
        console.print(f"{finished} of {total} {builder.unit} were packed before: going on")
    failed = run_shown(
        "packing", builder.unit, builder.work, to_do, workers, builder.seconds, console, lambda job: len(job.files)
    )
    failed_jobs = {outcome.job.part: outcome.reason for outcome in failed}
    return {
        file.name: reason
        for job in jobs
        for file, reason in zip(job.files, builder.failures(job, failed_jobs.get(job.part)), strict=True)
        if reason is not None
    }


def _stored(jobs: Sequence[PartJob], classes: Sequence[str], reasons: Mapping[str, str]) -> list[StoredFile]:
    labels: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    labels[None] = UNLABELLED
    return [
        StoredFile(file, labels[file.class_name], job.part)
        for job in jobs
        for file in job.files
        if file.name not in reasons
    ]
