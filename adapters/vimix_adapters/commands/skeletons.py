"""``vimix prepare ntu60``, ``ntu120`` and ``skeletons``: from skeleton files to a store of one array."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vimix.values.errors import VimixError
from vimix_adapters import wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.skeleton_settings import SkeletonSettings
from vimix_adapters.clips.skeleton_writer import SkeletonEntry, SkeletonSpool, write_skeleton_store
from vimix_adapters.commands.preparing import Report, read_quarantine, write_quarantine
from vimix_adapters.datasets.skeleton_files import Listing, SkeletonFile
from vimix_adapters.skeletons.packing import PackedSkeleton

Outcome = PackedSkeleton | str

RATE = 30
"""Frames a second that Kinect records (MSRAction3D: 15, for which the files give no sign)."""


def prepare_skeletons(
    listing: Listing, store: Path, settings: SkeletonSettings, workers: int, console: Console
) -> Report:
    """Store all listed sequences; what cannot be read is left out and listed in ``STORE.quarantine.csv``.

    Samples that the authors exclude are listed there too, but no failure. Raises VimixError if the store exists with
    other settings or files, or no sequence at all could be stored.
    """
    if (report := _already_there(listing, store, settings, console)) is not None:
        return report
    store.parent.mkdir(parents=True, exist_ok=True)
    rows = store.with_name(f".{store.name}.rows.tmp")
    try:
        spool = SkeletonSpool(rows, settings)
        entries, failures = _spooled(listing, spool, settings, workers, console)
        failures = sorted([*failures, *listing.left_out])
        write_quarantine(store, [*failures, *listing.excluded])
        if not entries:
            raise VimixError(f"none of {_asked(listing)} sequences could be read, the first: {': '.join(failures[0])}")
        out = len(failures) + len(listing.excluded)
        write_skeleton_store(store, spool, entries, listing.classes, settings, out)
        spool.close()
    except OSError as error:
        raise VimixError(f"{store}: the store could not be written ({error})") from error
    finally:
        rows.unlink(missing_ok=True)
    return Report(_asked(listing), len(entries), tuple(failures))


def split_counts(store: Path) -> dict[str, int]:
    """Sequences by split."""
    there = Hdf5VideoStore(store)
    return {split: len(there.members(split)) for split in there.splits}


def _asked(listing: Listing) -> int:
    return len(listing.files) + len(listing.left_out)


def _already_there(listing: Listing, store: Path, settings: SkeletonSettings, console: Console) -> Report | None:
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
    console.print(f"{store} is complete: nothing to do (delete it to make it again)")
    return Report(len(asked), len(there.videos), tuple(left_out))


def _spooled(
    listing: Listing, spool: SkeletonSpool, settings: SkeletonSettings, workers: int, console: Console
) -> tuple[list[SkeletonEntry], list[tuple[str, str]]]:
    """Entries of the sequences that could be read, in order, and (name, reason) of the others."""
    entries: list[SkeletonEntry] = []
    failures: list[tuple[str, str]] = []
    packed = wiring.pack_skeletons([file.path for file in listing.files], settings, workers)
    for file, outcome in zip(listing.files, _with_progress(packed, len(listing.files), console), strict=True):
        if isinstance(outcome, str):
            failures.append((file.name, outcome))
            continue
        spool.add(outcome.joints)
        entries.append(_entry(file, listing.classes, RATE * settings.frames / outcome.recorded))
    return entries, failures


def _entry(file: SkeletonFile, classes: Sequence[str], rate: float) -> SkeletonEntry:
    return SkeletonEntry(file.name, classes.index(file.class_name), file.source, file.splits, rate)


def _with_progress(items: Iterable[Outcome], total: int, console: Console) -> Iterator[Outcome]:
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=total, rate="")
        for item in items:
            speed = progress.tasks[task].finished_speed or progress.tasks[task].speed
            progress.update(task, advance=1, rate=f"{speed:.0f} files/s" if speed else "")
            yield item
