"""``vimix flow``: add flow to a store, through one part a video, on one machine or on many."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import asdict, evolve, frozen
from rich.console import Console

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore
from vimix_adapters.clips.hdf5_assembly import Placed
from vimix_adapters.clips.hdf5_writer import is_part
from vimix_adapters.clips.shard_writer import write_videos
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.files import require_folder
from vimix_adapters.flow.images import FlowImages, Folders, find_folders, image_size, layout_of
from vimix_adapters.flow.opencv import TvL1Flow
from vimix_adapters.locks import locked_file
from vimix_adapters.prepare.engines import Engine
from vimix_adapters.prepare.flow_job import FlowJob, compute_part, import_part
from vimix_adapters.prepare.parts import claim_parts, drop_parts, flow_parts_of
from vimix_adapters.prepare.progress import run_shown

BASE_SECONDS = 60.0
"""Time limit of a video, in addition to that of its frames."""


@frozen
class JobShare:
    """Every ``count``-th video, beginning with number ``index`` (from 1)."""

    index: int = 1
    count: int = 1


@frozen
class FlowOptions:
    """Options of ``vimix flow`` for computed and for imported flow."""

    engine: Engine
    seconds: float = 30.0
    """Time limit of a frame, on average over its video."""
    shard: JobShare | None = None
    """Videos of this call; None: all, and the store gets its flow when they have theirs."""
    force: bool = False
    """Whether to replace flow that the store has."""


@frozen
class FlowReport:
    """Result of a call."""

    videos: int
    """Number of videos in the store."""
    finished: int
    """Number of videos that have flow, those of other calls included."""
    complete: bool
    """Whether the flow is in the store now."""
    failures: tuple[tuple[str, str], ...] = ()
    """(name, reason) of each video that failed."""


def parse_shard(text: str) -> JobShare:
    """Read ``2/8``. Raises VimixError for any other text."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise VimixError(f"--shard {text!r}: expected i/n with 1 ≤ i ≤ n, such as 1/8")
    return JobShare(int(match[1]), int(match[2]))


def compute_flow(
    path: Path, method: str, short_side: int, bound: float, options: FlowOptions, console: Console
) -> FlowReport:
    """Add flow that is computed from the stored frames, with ``short_side`` pixels (0: that of the frames).

    ``bound`` is the displacement in pixels at which flow is clipped. Raises VimixError for a store of skeletons, or if
    the store has other flow.
    """
    store = Hdf5VideoStore(path)
    stored = store.picture_settings.short_side
    if short_side > stored:
        raise VimixError(
            f"--flow-short-side {short_side}: the stored frames have {stored} pixels; for flow of larger frames use "
            "vimix prepare --flow"
        )
    if method == "tvl1":
        TvL1Flow()  # fails once, not in each video, if OpenCV lacks it
    settings = _with_flow(store, method, short_side or stored, bound, STORED_FRAMES)
    work = partial(compute_part, store=path.absolute(), settings=settings)
    return _add(store, _jobs(store), settings, work, options, console, {})


def import_flow(
    path: Path, folder: Path, image_bound: float, rounding: str, bound: float, options: FlowOptions, console: Console
) -> FlowReport:
    """Add flow from images in a folder for each video (see ``vimix_adapters.flow.images``).

    ``bound`` is that of the store; 0 takes that of the images, scaled like the first video, which keeps the levels.
    Raises VimixError if no video has flow images, or the store has other flow.
    """
    store = Hdf5VideoStore(path)
    folders, failures = _folders(store, folder)
    if not folders:
        raise VimixError(f"{folder}: no flow for any of {len(store.videos)} videos; the first: {failures[0][1]}")
    images, side = _first_readable(folders, image_bound, rounding)
    bound = bound or round(image_bound * store.picture_settings.short_side / side, 4)
    settings = _with_flow(store, "imported", store.picture_settings.short_side, bound, images.about)
    jobs = [evolve(job, folders=folders.get(job.number, ())) for job in _jobs(store)]
    work = partial(import_part, store=path.absolute(), settings=settings, images=images)
    return _add(store, jobs, settings, work, options, console, dict(failures))


def _folders(store: Hdf5VideoStore, root: Path) -> tuple[dict[int, Folders], list[tuple[str, str]]]:
    """Find the folder of each video by its number, and (name, reason) of the videos that have none."""
    require_folder(root, "one folder of flow images a video in it")
    folders, failures = {}, []
    for number, video in enumerate(store.videos):
        try:
            folders[number] = find_folders(root, video.name)
        except VimixError as error:
            failures.append((video.name, str(error)))
    return folders, failures


def _first_readable(folders: dict[int, Folders], bound: float, rounding: str) -> tuple[FlowImages, int]:
    """Return the convention and the short side of the images of the first video whose images can be read."""
    errors: list[VimixError] = []
    for _, place in sorted(folders.items()):
        try:
            images = FlowImages(str(layout_of(place)), bound, rounding)
            return images, min(image_size(place, images))
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


def _jobs(store: Hdf5VideoStore) -> list[FlowJob]:
    parts = flow_parts_of(store.path)
    return [FlowJob(number, video.frames, parts / f"{number:08d}.h5") for number, video in enumerate(store.videos)]


def _add(
    store: Hdf5VideoStore,
    jobs: Sequence[FlowJob],
    settings: PackSettings,
    work: Callable[[FlowJob], None],
    options: FlowOptions,
    console: Console,
    absent: Mapping[str, str],
) -> FlowReport:
    """Make the parts of this call and, if it has no shard and all are finished, put them into the store.

    ``absent`` are the videos without images, with the reasons. Raises VimixError if another process does the same.
    """
    shard, parts, count = options.shard, flow_parts_of(store.path), len(jobs)
    with locked_file(store.path, "adding flow", f"shard-{shard.index}-of-{shard.count}" if shard else ""):
        if FLOW in store.formats and not options.force:
            if store.picture_settings != settings:
                raise VimixError(
                    f"{store.path} has other flow already: replace it with --force, or prepare another store"
                )
            drop_parts(parts, asdict(settings))
            console.print(f"{store.path} has this flow: nothing to do")
            return FlowReport(count, count, complete=True)
        made_for = {"store": store.fingerprint, **asdict(settings)}
        listed = {job.part.name: store.videos[job.number].name for job in jobs}
        # Only one call may delete parts: shards run at the same time.
        claim_parts(parts, made_for, listed, replace=options.force and shard is None)
        failures = _make_parts(store, jobs, work, options, console, absent)
        finished = sum(job.part.exists() for job in jobs)
        complete = shard is None and finished == count
        if complete:
            _combine(store, settings, jobs)
            shutil.rmtree(parts, ignore_errors=True)
        return FlowReport(count, finished, complete, failures)


def _make_parts(
    store: Hdf5VideoStore,
    jobs: Sequence[FlowJob],
    work: Callable[[FlowJob], None],
    options: FlowOptions,
    console: Console,
    absent: Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    """Make the parts of this call that are not finished; returns (name, reason) of each video that failed."""
    names = [video.name for video in store.videos]
    mine = jobs[options.shard.index - 1 :: options.shard.count] if options.shard else jobs
    able = [job for job in mine if names[job.number] not in absent]
    to_do = [job for job in able if not is_part(job.part)]
    if len(to_do) < len(able):
        console.print(f"{len(able) - len(to_do)} of {len(mine)} videos have their flow: going on")

    failed = run_shown(
        "flow",
        "frames",
        options.engine,
        work,
        to_do,
        lambda job: BASE_SECONDS + options.seconds * job.frames,
        console,
        name=lambda job: names[job.number],
        size=lambda job: job.frames,
    )
    failures = [(names[outcome.job.number], outcome.reason or "") for outcome in failed]
    missing = [names[job.number] for job in mine if names[job.number] in absent]
    return (*failures, *((name, absent[name]) for name in missing))


def _combine(store: Hdf5VideoStore, settings: PackSettings, jobs: Sequence[FlowJob]) -> None:
    """Write the store with its flow, and replace the old one by it."""
    videos = []
    for job, video in zip(jobs, store.videos, strict=True):
        pieces = [store.place(job.number), (job.part, "video")]
        if FLOW in store.formats:  # of a modality in two pieces the first is taken
            pieces.reverse()
        videos.append(Placed(video.name, video.label, video.source, tuple(pieces)))
    write_videos(store.path, videos, evolve(store.head, settings=settings), store.shard_bytes)
