"""``vimix flow``: flow for a store that has none, one part a video, on one machine or many."""

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attrs import asdict, evolve, frozen
from rich.console import Console

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore
from vimix_adapters.clips.hdf5_assembly import Head, Placed, write_store
from vimix_adapters.clips.hdf5_writer import is_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.files import require_folder
from vimix_adapters.flow.images import FlowImages, find_folder, layout_of, picture_size
from vimix_adapters.flow.tvl1 import TvL1Flow
from vimix_adapters.prepare.flow_job import FlowJob, flow_job, import_job
from vimix_adapters.prepare.parts import claim_parts, flow_parts_of, list_parts
from vimix_adapters.prepare.progress import run_shown

START = 60.0
"""Seconds that a video may take besides those of its frames."""


@frozen
class FlowReport:
    """``finished`` of ``videos`` have flow; ``complete``: the store has it now. ``failures``: (name, reason)."""

    videos: int
    finished: int
    complete: bool
    failures: tuple[tuple[str, str], ...] = ()


@frozen
class Shard:
    """Every ``count``-th video, beginning with number ``index`` (from 1)."""

    index: int = 1
    count: int = 1


def parse_shard(text: str) -> Shard:
    """``2/8``. Raises VimixError for anything else."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise VimixError(f"--shard {text!r}: expected i/n with 1 ≤ i ≤ n, such as 1/8")
    return Shard(int(found[1]), int(found[2]))


def compute_flow(
    path: Path,
    method: str,
    short_side: int,
    bound: float,
    shard: Shard | None,
    workers: int,
    seconds: float,
    console: Console,
) -> FlowReport:
    """Add flow that is computed from the stored pictures, at ``short_side`` pixels (0: their own).

    ``seconds`` a frame and a minute are what a video may take. Without a shard, the store gets its flow as soon as all
    videos have theirs, those of other calls included. Raises VimixError for a store without pictures, or with other
    flow.
    """
    store = Hdf5VideoStore(path)
    stored = store.picture_settings.short_side
    if short_side > stored:
        raise VimixError(
            f"--flow-short-side {short_side}: the stored frames have {stored}; flow of larger ones needs "
            "vimix prepare --flow"
        )
    if method == "tvl1":
        TvL1Flow()  # says at once, not once a video, if OpenCV lacks it
    settings = _with_flow(store, method, short_side or stored, bound, STORED_FRAMES)
    work = partial(flow_job, store=path.absolute(), settings=settings)
    return _add(store, settings, work, {}, shard, workers, seconds, console)


def import_flow(
    path: Path,
    folder: Path,
    image_bound: float,
    rounding: str,
    bound: float,
    shard: Shard | None,
    workers: int,
    seconds: float,
    console: Console,
) -> FlowReport:
    """Add flow from a folder of pictures a video (see ``vimix_adapters.flow.images``).

    ``bound`` is that of the store; 0 takes that of the pictures, scaled like the first video: levels stay as they are.
    """
    store = Hdf5VideoStore(path)
    folders, failures = _folders(store, folder)
    if not folders:
        raise VimixError(f"{folder}: no flow for any of {len(store.videos)} videos; the first: {failures[0][1]}")
    images, side = _first_readable(folders, image_bound, rounding)
    bound = bound or round(image_bound * store.picture_settings.short_side / side, 4)
    settings = _with_flow(store, "imported", store.picture_settings.short_side, bound, images.about)
    work = partial(import_job, store=path.absolute(), settings=settings, images=images)
    return _add(store, settings, work, folders, shard, workers, seconds, console, failures)


def _folders(store: Hdf5VideoStore, root: Path) -> tuple[dict[int, Path], list[tuple[str, str]]]:
    require_folder(root, "one folder of flow pictures a video in it")
    folders, failures = {}, []
    for number, video in enumerate(store.videos):
        try:
            folders[number] = find_folder(root, video.name)
        except VimixError as error:
            failures.append((video.name, str(error)))
    return folders, failures


def _first_readable(folders: dict[int, Path], bound: float, rounding: str) -> tuple[FlowImages, int]:
    """The convention, and the short side of the pictures, of the first video whose pictures are sound."""
    errors: list[VimixError] = []
    for _, folder in sorted(folders.items()):
        try:
            images = FlowImages(str(layout_of(folder)), bound, rounding)
            return images, min(picture_size(folder, images))
        except VimixError as error:
            errors.append(error)
        except ValueError as error:
            raise VimixError(f"vimix flow --import: {error.args[0]}") from error
    raise errors[0]


def _with_flow(store: Hdf5VideoStore, flow: str, short_side: int, bound: float, origin: str) -> PackSettings:
    try:
        return evolve(
            store.picture_settings, flow=flow, flow_short_side=short_side, flow_bound=bound, flow_origin=origin
        )
    except ValueError as error:
        raise VimixError(f"vimix flow: {error.args[0]}") from error


def _add(
    store: Hdf5VideoStore,
    settings: PackSettings,
    work: Callable[[FlowJob], None],
    folders: dict[int, Path],
    shard: Shard | None,
    workers: int,
    seconds: float,
    console: Console,
    failures: Sequence[tuple[str, str]] = (),
) -> FlowReport:
    if RGB not in store.formats:
        raise VimixError(f"{store.path} has no {RGB}: flow needs the pictures")
    parts, count = flow_parts_of(store.path), len(store.videos)
    if FLOW in store.formats:
        if store.picture_settings != settings:
            raise VimixError(f"{store.path} has flow already, made otherwise: prepare another store for this one")
        shutil.rmtree(parts, ignore_errors=True)
        console.print(f"{store.path} has this flow: nothing to do")
        return FlowReport(count, count, complete=True)
    jobs = _jobs(store, settings, folders)
    mine = jobs[shard.index - 1 :: shard.count] if shard else jobs
    absent = {store.videos[job.number].name for job in mine if folders and job.number not in folders}
    to_do = [job for job in mine if store.videos[job.number].name not in absent and not is_part(job.part)]
    if len(to_do) < len(mine):
        console.print(f"{len(mine) - len(to_do) - len(absent)} of {len(mine)} videos have their flow: going on")
    failed = run_shown(
        "flow",
        "frames",
        work,
        to_do,
        workers,
        lambda job: START + seconds * job.frames,
        console,
        lambda job: job.frames,
    )
    reasons = [(store.videos[outcome.job.number].name, outcome.reason or "") for outcome in failed]
    reasons += [(name, reason) for name, reason in failures if name in absent]
    finished = sum(job.part.exists() for job in jobs)
    if shard is None and finished == count:
        _combine(store, settings, jobs)
        shutil.rmtree(parts, ignore_errors=True)
        return FlowReport(count, finished, complete=True)
    return FlowReport(count, finished, complete=False, failures=tuple(reasons))


def _jobs(store: Hdf5VideoStore, settings: PackSettings, folders: dict[int, Path]) -> list[FlowJob]:
    """One a video, in a folder that belongs to this store and these settings."""
    parts = flow_parts_of(store.path)
    claim_parts(parts, {"store": store.fingerprint, **asdict(settings)})
    jobs = [
        FlowJob(number, video.frames, parts / f"{number:08d}.h5", folders.get(number))
        for number, video in enumerate(store.videos)
    ]
    list_parts(parts, {job.part.name: store.videos[job.number].name for job in jobs})
    return jobs


def _combine(store: Hdf5VideoStore, settings: PackSettings, jobs: Sequence[FlowJob]) -> None:
    """The store with its flow, written beside the old one and put in its place."""
    videos = [
        Placed(
            video.name,
            video.label,
            video.source,
            ((store.path, f"videos/{job.number:08d}"), (job.part, "video")),
        )
        for job, video in zip(jobs, store.videos, strict=True)
    ]
    splits = {name: store.members(name) for name in store.splits}
    write_store(store.path, videos, Head(tuple(store.classes), splits, settings, store.quarantined))
