"""``vimix prepare``: from video files to a store, through one part a video, so that nothing is done twice."""

import csv
import io
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from attrs import asdict, frozen
from rich.console import Console

from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import Entry, is_part, merge_parts
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.listing import Listed
from vimix_adapters.datasets.skeleton_files import SkeletonFile
from vimix_adapters.files import require_writable, sweep, write_text
from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.prepare.parts import claim_parts, list_parts, parts_of
from vimix_adapters.prepare.progress import run_shown
from vimix_adapters.prepare.video_job import PackJob, pack_job

ENOUGH = 0.95
"""Share of the files that must be stored for the command to succeed."""
UNLABELLED = -1


@frozen
class Report:
    """What became of the listed files."""

    listed: int
    stored: int
    failures: tuple[tuple[str, str], ...]
    """(name, reason) of each file that was left out."""
    written: bool = True
    """Whether there is a store now; if not, the finished parts are kept."""

    @property
    def enough(self) -> bool:
        """Whether at least 95 % were stored."""
        return self.stored >= ENOUGH * self.listed


def prepare(
    listed: Sequence[Listed],
    store: Path,
    settings: PackSettings,
    workers: int,
    seconds: float,
    console: Console,
    work: Callable[[PackJob], None] | None = None,
    classes: Sequence[str] | None = None,
    partial_allowed: bool = True,
) -> Report:
    """Pack all listed videos into ``store``; go on where an earlier call was stopped.

    Each file has ``seconds`` of time. Files that fail are left out and listed in ``STORE.quarantine.csv``. Labels are
    places in ``classes``, by default the sorted names. Unless ``partial_allowed``, no store is written if a file fails.
    Raises VimixError if the store exists with other settings or files, no video at all could be stored, or the
    store cannot be written.
    """
    if (report := _already_there(listed, store, settings, console)) is not None:
        return report
    if settings.flow == "tvl1":
        TvL1Flow()  # says at once, not once a file, if OpenCV lacks it
    require_writable(store)
    parts = parts_of(store)
    claim_parts(parts, asdict(settings))
    jobs = {video.name: PackJob(video.path, parts / f"{version_key(video)}.h5") for video in listed}
    list_parts(parts, {job.part.name: name for name, job in jobs.items()})
    to_do = [job for job in jobs.values() if not is_part(job.part)]
    if len(to_do) < len(jobs):
        console.print(f"{len(jobs) - len(to_do)} of {len(jobs)} videos were packed before: going on")
    reasons = _run(to_do, work or partial(pack_job, settings=settings), workers, seconds, console)
    failures = [(name, reasons[job.part]) for name, job in jobs.items() if job.part in reasons]
    write_quarantine(store, failures)
    kept = [video for video in listed if jobs[video.name].part not in reasons]
    if not kept:
        raise VimixError(f"none of {len(listed)} videos could be read, the first: {failures[0][0]}: {failures[0][1]}")
    if failures and not partial_allowed:
        return Report(len(listed), len(kept), tuple(failures), written=False)
    named = sorted({video.class_name for video in listed if video.class_name is not None})
    classes = named if classes is None else classes
    labels = {name: number for number, name in enumerate(classes)}
    entries = [_entry(video, jobs[video.name].part, labels) for video in kept]
    merge_parts(store, entries, classes, settings, len(failures))
    shutil.rmtree(parts, ignore_errors=True)
    return Report(len(listed), len(kept), tuple(failures))


def quarantine_file(store: Path) -> Path:
    """Where the files that were left out are listed."""
    return store.with_name(f"{store.stem}.quarantine.csv")


def _entry(video: Listed, part: Path, labels: Mapping[str, int]) -> Entry:
    label = UNLABELLED if video.class_name is None else labels[video.class_name]
    return Entry(part, video.name, label, video.source, video.splits)


def _already_there(listed: Sequence[Listed], store: Path, settings: PackSettings, console: Console) -> Report | None:
    """The report of a store that was made from the same files before; None if there is none."""
    if not store.exists():
        return None
    there = Hdf5VideoStore(store)
    left_out = read_quarantine(store)
    if what := _difference(there, listed, {name for name, _ in left_out}, settings):
        raise VimixError(f"{store} exists and was made with {what}: choose another --out, or delete it first")
    shutil.rmtree(parts_of(store), ignore_errors=True)  # where the call that finished it was killed right then
    console.print(f"{store} is complete: nothing to do (delete it to make it again)")
    return Report(len(listed), len(there.videos), tuple(left_out))


def _difference(
    there: Hdf5VideoStore, listed: Sequence[Listed], left_out: Collection[str], settings: PackSettings
) -> str:
    """What a store was made with otherwise; empty if nothing."""
    if there.settings != settings:
        return "other settings"
    if {video.name for video in there.videos} | set(left_out) != {video.name for video in listed}:
        return "other files"
    places: dict[int, set[str]] = {number: set() for number in range(len(there.videos))}
    for split in there.splits:
        for number in there.members(split):
            places[number].add(split)
    asked = {video.name: (video.class_name, video.source, set(video.splits)) for video in listed}
    known = {
        video.name: (there.classes[video.label] if video.label >= 0 else None, video.source, places[number])
        for number, video in enumerate(there.videos)
    }
    return "" if all(asked[name] == known[name] for name in known) else "other labels, sources or splits"


def version_key(*files: Listed | SkeletonFile) -> str:
    """The name of these files' part: another one if a file has changed."""
    return sha256("\n".join(f"{file.name}\n{_version(file.path)}" for file in files).encode()).hexdigest()[:32]


def _version(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}"


def _run(
    jobs: Sequence[PackJob], work: Callable[[PackJob], None], workers: int, seconds: float, console: Console
) -> dict[Path, str]:
    """Do the jobs under a progress bar; reasons by part of those that failed."""
    failed = run_shown("packing", "videos", work, jobs, workers, seconds, console)
    return {outcome.job.part: outcome.reason or "" for outcome in failed}


def write_quarantine(store: Path, failures: Sequence[tuple[str, str]]) -> None:
    """List the files that were left out, with the reasons."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(failures)
    sweep(quarantine_file(store))
    write_text(quarantine_file(store), text.getvalue())


def read_quarantine(store: Path) -> list[tuple[str, str]]:
    """(name, reason) of the files that were left out."""
    file = quarantine_file(store)
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [(row["path"], row["reason"]) for row in csv.DictReader(lines)]
