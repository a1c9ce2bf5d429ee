"""Build a store from a listing: each file is read once into a part, and all parts together become the store.

A part is finished or absent, so an interrupted call goes on where it stopped.
"""

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
from vimix_adapters.files import require_new
from vimix_adapters.prepare.engines import Engine
from vimix_adapters.prepare.parts import claim_parts, drop_parts, parts_of
from vimix_adapters.prepare.progress import run_shown
from vimix_adapters.prepare.quarantine import LeftOut, read_quarantine, write_quarantine
from vimix_adapters.prepare.worker_pool import Outcome

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
    group: str = "video"
    """Group of the part that holds a video."""


@frozen
class DiskUse:
    """Estimated bytes of a store, and the number of files that were looked into."""

    size: int
    files: int


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
        return

    def is_done(self, part: Path) -> bool:
        """Whether the part is finished and need not be made again."""

    def kept(self, _store: Hdf5VideoStore, /) -> Mapping[str, str]:
        """Return the group of each video, by name, that a new store can take from the old one without its file.

        None of skeletons: reading all files again takes minutes.
        """
        return {}

    def failures(self, job: PartJob, reason: str | None) -> Sequence[str | None]:
        """Return why each file of the job was left out, None for a file in the part; ``reason``: why the job failed."""

    def timings(self, _files: Sequence[StoredFile], /) -> Sequence[FileTiming]:
        """Return frame rate and number of frames of each file with a frame rate; called before ``write``."""
        return ()

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
    failures: tuple[LeftOut, ...]
    """Files that were left out."""
    written: bool = True
    """Whether the store exists now; if not, its parts are kept."""
    timings: tuple[FileTiming, ...] = ()
    """Frame rates of the files; empty for skeletons and for a store that was there before."""


def build_store(
    listing: Listing,
    store: Path,
    builder: StoreBuilder,
    engine: Engine,
    console: Console,
    *,
    force: bool = False,
    all_needed: bool = False,
    retry: bool = False,
) -> BuildResult:
    """Store all files of the listing; go on where an earlier call was interrupted.

    Files that cannot be read are left out and listed in ``STORE.quarantine.csv``, together with those that the listing
    leaves out. If ``store`` was made from the same files with the same settings, it only gets the files that an earlier
    call could not read for a reason outside the files, or, with ``retry``, all files that it left out. ``force``
    replaces ``store``, whatever it is. With ``all_needed`` no store is written if a file fails. Raises VimixError if
    ``store`` exists and is something else, or no file could be read; WriteError if the store cannot be written.
    """
    made = None if force else _made(listing, store, builder.settings)
    before = [] if made is None else _left_out_before(listing, store, made)
    names = {file.name for file in listing.files}
    again = {row.name for row in before if (row.passing or retry) and row.name in names}
    if made is not None and not again:
        drop_parts(parts_of(store), asdict(builder.settings))
        console.print(f"{store} is complete: nothing to do (--force makes it again)")
        return BuildResult(len(listing.files) + len(listing.left_out), len(made.videos), tuple(before))
    if not listing.files and not listing.left_out:
        raise VimixError(f"no file of {listing.dataset} was found: check the folder; missing is {_first(listing)}")
    builder.check()
    if made is None:
        require_new(store, force, (file.path for file in listing.files))
    else:
        console.print(f"{len(again)} {builder.unit} that could not be read before are tried again")
    kept = builder.kept(made) if made is not None else {}
    failed = {row.name: row for row in before if row.name in names - again}
    files = [file for file in listing.files if file.name not in kept and file.name not in failed]
    jobs = _jobs(files, store, builder)
    contents = {job.part.name: _content(job) for job in jobs}
    claim_parts(parts_of(store), asdict(builder.settings), contents, replace=force)
    failed |= _make_parts(jobs, builder, engine, console)
    stored = _stored(listing, jobs, {name: (store, group) for name, group in kept.items()}, failed)
    return _written(listing, store, builder, stored, failed, made, all_needed)


def _written(
    listing: Listing,
    store: Path,
    builder: StoreBuilder,
    stored: Sequence[StoredFile],
    failed: Mapping[str, LeftOut],
    made: Hdf5VideoStore | None,
    all_needed: bool,
) -> BuildResult:
    """Write the store of all parts, or the one that was ``made`` before with what is new, and the list of the others.

    After a kill between the two, the list names no less than what the store lacks.
    """
    left_out = (LeftOut(*row) for row in listing.left_out)
    failures = tuple(sorted([*failed.values(), *left_out], key=lambda row: (row.name, row.reason)))
    without = [*failures, *(LeftOut(*row) for row in listing.excluded)]
    listed = len(listing.files) + len(listing.left_out)
    if made is None:
        write_quarantine(store, without)
    if not stored:
        first = failures[0]
        raise VimixError(f"none of {listed} {builder.unit} could be read, the first: {first.name}: {first.reason}")
    timings = tuple(builder.timings(stored)) if made is None else ()
    if failed and all_needed:
        return BuildResult(listed, len(stored), failures, made is not None, timings)
    if made is None or len(stored) > len(made.videos):
        builder.write(store, stored, listing.classes, len(without))
    if made is not None:
        write_quarantine(store, without)
    shutil.rmtree(parts_of(store), ignore_errors=True)
    return BuildResult(listed, len(stored), failures, True, timings)


def _first(listing: Listing) -> str:
    return f"{next(iter(listing.missing), 'nothing')}{', ...' if len(listing.missing) > 1 else ''}"


def _made(listing: Listing, store: Path, settings: PackSettings | SkeletonSettings) -> Hdf5VideoStore | None:
    """Return the store that was made from the same files before; None if no file is there.

    Raises VimixError if the file is something else.
    """
    if not store.is_file():
        return None
    try:
        made = Hdf5VideoStore(store)
    except VimixError as error:
        raise VimixError(f"{error}; choose another --out, or replace it with --force") from error
    left_out = {row.name for row in _left_out_before(listing, store, made)}
    if what := _difference(made, listing, left_out, settings):
        raise VimixError(f"{store} exists and was made with {what}: choose another --out, or replace it with --force")
    return made


def _left_out_before(listing: Listing, store: Path, made: Hdf5VideoStore) -> list[LeftOut]:
    """Return the files that an earlier call left out of the store because they could not be read."""
    others = {name for name, _ in listing.excluded} | {video.name for video in made.videos}
    return [row for row in read_quarantine(store) if row.name not in others]


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


def _make_parts(jobs: Sequence[PartJob], builder: StoreBuilder, engine: Engine, console: Console) -> dict[str, LeftOut]:
    """Make the parts that are not finished; returns the files, by name, that were left out."""
    to_do = [job for job in jobs if not builder.is_done(job.part)]
    total = sum(len(job.files) for job in jobs)
    if finished := total - sum(len(job.files) for job in to_do):
        console.print(f"{finished} of {total} {builder.unit} were packed before: going on")
    failed = run_shown(
        "packing",
        builder.unit,
        engine,
        builder.work,
        to_do,
        builder.seconds,
        console,
        name=_content,
        size=lambda job: len(job.files),
    )
    outcomes = {outcome.job.part: outcome for outcome in failed}
    left_out = {}
    for job in jobs:
        outcome = outcomes.get(job.part, Outcome(job))
        for file, reason in zip(job.files, builder.failures(job, outcome.reason), strict=True):
            if reason is not None:
                left_out[file.name] = LeftOut(file.name, reason, outcome.passing)
    return left_out


def _stored(
    listing: Listing, jobs: Sequence[PartJob], kept: Mapping[str, tuple[Path, str]], failed: Collection[str]
) -> list[StoredFile]:
    """Return the files of the new store in the order of the listing; ``kept`` are the places of those in the old."""
    labels: dict[str | None, int] = {name: number for number, name in enumerate(listing.classes)}
    labels[None] = UNLABELLED
    places = {**{file.name: (job.part, "video") for job in jobs for file in job.files}, **kept}
    return [
        StoredFile(file, labels[file.class_name], *places[file.name])
        for file in listing.files
        if file.name not in failed
    ]
