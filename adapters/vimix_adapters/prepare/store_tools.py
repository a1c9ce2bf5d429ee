"""``vimix store``: check stores, join them, divide one into shards, and write a video of one."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, evolve
from numpy.typing import NDArray
from rich.console import Console

from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix.values.video import Video
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, formats_of
from vimix_adapters.clips.hdf5_assembly import Placed, write_store
from vimix_adapters.clips.hdf5_check import StoreOverview, check_video, overview
from vimix_adapters.clips.hdf5_head import Head
from vimix_adapters.clips.shard_writer import Member, write_index, write_videos
from vimix_adapters.clips.shards import INDEX, bytes_of, head_file, is_store
from vimix_adapters.files import require_file, require_folder, require_new
from vimix_adapters.flow.fields import dequantise, flow_colours, full_speed
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.progress import run_shown
from vimix_adapters.prepare.worker_pool import Outcome, run_jobs
from vimix_adapters.synth.encode import choose_codec, write_video

SECONDS_A_FRAME = 1.0
"""Time limit for checking a frame."""
LONGEST_CHECK = 36_000.0
"""Limit of the seconds for all frames of a video."""
BYTES_A_SECOND = 1e8
"""Bytes of a store for which opening it may take a second more."""


def verify(path: Path, workers: int, console: Console, patience: float = 60.0) -> dict[str, Any]:
    """Read everything, compare checksums and decode all frames; returns plain data with a list ``bad`` of videos.

    Only worker processes open the file, because a damaged file may crash or hang the HDF5 library. Reading the head may
    take ``patience`` seconds (more for a large file), and a video ``patience`` seconds plus one for each frame.
    Raises VimixError if the file is not a store, or its head cannot be read in that time.
    """
    require_file(head_file(path), "store", "make one with vimix prepare")
    limit = patience + bytes_of(path) / BYTES_A_SECOND
    (opened,) = run_jobs(overview, [path.absolute()], 1, limit)
    if opened.reason is not None:
        reason = _hanging(opened)
        raise VimixError(reason if str(path) in reason else f"{path}: {reason}")
    store: StoreOverview = opened.value
    failed = run_shown(
        "verifying",
        "frames",
        LocalEngine(workers),
        partial(check_video, store=path.absolute()),
        range(len(store.videos)),
        lambda number: patience + min(SECONDS_A_FRAME * store.videos[number].frames, LONGEST_CHECK),
        console,
        name=lambda number: store.videos[number].name,
        size=lambda number: store.videos[number].frames,
    )
    bad = [{"video": store.videos[outcome.job].name, "reason": _hanging(outcome)} for outcome in failed]
    if not store.fits:
        bad.append({"video": "", "reason": "the list of videos does not fit the fingerprint and the checksums"})
    return {
        "store": str(path),
        "fingerprint": store.fingerprint,
        "videos": len(store.videos),
        "modalities": list(store.modalities),
        "bad": sorted(bad, key=lambda finding: str(finding["video"])),
    }


def _hanging(outcome: Outcome[Any]) -> str:
    return f"this file hangs the HDF5 library ({outcome.reason})" if outcome.hung else str(outcome.reason)


def merge(out: Path, paths: Sequence[Path], force: bool = False) -> Hdf5VideoStore:
    """Join stores of one data set to one file, their videos sorted by name; the stores are kept.

    A single store in shards keeps the order of its videos. A video that is in two stores must be the same in both, but
    may be in different splits. Raises VimixError if ``out`` exists and ``force`` is false, or if settings, classes or
    videos of one name differ.
    """
    stores = [Hdf5VideoStore(path) for path in paths]
    require_new(out, force, [file for store in stores for file in store.files])
    order, head = _joined(stores)
    write_store(out, _placed(order), evolve(head, settings=stores[0].picture_settings))
    return Hdf5VideoStore(out)


def split(path: Path, out: Path, shard_bytes: int, force: bool = False) -> Hdf5VideoStore:
    """Divide a store of videos into a folder ``out`` of shards of ``shard_bytes`` each; the store is kept.

    Raises VimixError if ``out`` is a store and ``force`` is false, or holds other files.
    """
    store = Hdf5VideoStore(path)
    if out.is_dir() and not is_store(out) and any(out.glob("*.h5")):
        raise VimixError(f"{out} holds other HDF5 files: choose another folder")
    require_new(out / INDEX, force, [head_file(path)])
    head = evolve(store.head, settings=store.picture_settings)
    write_videos(out, _placed(Member(store, number) for number in range(len(store.videos))), head, shard_bytes)
    return Hdf5VideoStore(out)


def index(folder: Path, force: bool = False) -> Hdf5VideoStore:
    """Make the stores in ``folder`` one store, without copying them: write its index, the videos sorted by name.

    Raises VimixError if there are none or they cannot be joined (see ``merge``), or if there is an index and ``force``
    is false.
    """
    require_folder(folder, "stores of one data set in it")
    paths = sorted(path for path in folder.glob("*.h5") if path.name != INDEX)
    if not paths:
        raise VimixError(f"{folder}: there is no store (*.h5) in it; make some with vimix prepare")
    require_new(folder / INDEX, force)
    stores = [Hdf5VideoStore(path) for path in paths]
    write_index(folder, *_joined(stores))
    return Hdf5VideoStore(folder)


def _placed(order: Iterable[Member]) -> list[Placed]:
    videos = [(member.shard.videos[member.number], member.shard.place(member.number)) for member in order]
    return [Placed(video.name, video.label, video.source, (place,)) for video, place in videos]


def _joined(stores: Sequence[Hdf5VideoStore]) -> tuple[list[Member], Head]:
    """Return the videos of all stores, each once, sorted by name if there are several stores, and their head."""
    for store in stores[1:]:
        _require_alike(stores[0], store)
    chosen: dict[str, Member] = {}
    members: dict[str, set[str]] = {name: set() for store in stores for name in store.splits}
    for store in stores:
        for name in store.splits:
            members[name] |= {store.videos[number].name for number in store.members(name)}
        for number, video in enumerate(store.videos):
            first = chosen.setdefault(video.name, Member(store, number))
            if _content(first) != _content(Member(store, number)):
                raise VimixError(
                    f"{video.name} is in {first.shard.path} and {store.path}, but not the same: leave one of them out"
                )
    names = sorted(chosen) if len(stores) > 1 else list(chosen)
    splits = {split: [i for i, name in enumerate(names) if name in members[split]] for split in sorted(members)}
    quarantined = sum(store.quarantined for store in stores)
    return [chosen[name] for name in names], evolve(stores[0].head, splits=splits, quarantined=quarantined)


def _content(member: Member) -> tuple[Video, str]:
    return member.shard.videos[member.number], member.shard.checksum(member.number)


def _require_alike(one: Hdf5VideoStore, other: Hdf5VideoStore) -> None:
    first, second = asdict(one.settings), asdict(other.settings)
    keys = dict.fromkeys([*first, *second])
    if different := [f"{k} {first.get(k)} and {second.get(k)}" for k in keys if first.get(k) != second.get(k)]:
        raise VimixError(
            f"{one.path} and {other.path} were made with different settings ({', '.join(different)}): only shards of "
            "one data set can be merged"
        )
    if list(one.classes) != list(other.classes):
        odd = sorted(set(one.classes) ^ set(other.classes))[:5] or ["their order"]
        raise VimixError(
            f"{one.path} and {other.path} differ in their classes ({', '.join(odd)}): labels would not fit"
        )


def export(
    path: Path, video: str, out: Path, modality: Modality, scale: float | None = None, force: bool = False
) -> str:
    """Write a video of the store, chosen by name or number, as MP4; flow is drawn in colours.

    ``scale`` is the speed in pixels a frame at full brightness, by default that of ``full_speed``. Returns a sentence
    about the file. Raises VimixError if the store has no such video or modality, or ``out`` exists and ``force`` is
    false.
    """
    require_new(out, force, [path])
    store = Hdf5VideoStore(path)
    formats, number = formats_of(store.picture_settings), _find(store, video)
    if modality not in formats:
        raise VimixError(f"{path} has no {modality}, only {', '.join(formats)}")
    chosen = store.videos[number]
    frames, note = store.read(number, modality, 0, chosen.frames), ""
    if modality == FLOW:
        fields = dequantise(frames, store.formats[FLOW].bound)
        full = scale or full_speed(fields)
        frames, note = flow_colours(fields, full), f", {full:.1f} pixels a frame at full brightness"
    write_video(out, _even(frames), Fraction(chosen.rate).limit_denominator(1001), choose_codec())
    return f"{out}: {chosen.name} ({modality}), {chosen.frames} frames at {chosen.rate:g} a second{note}"


def _find(store: Hdf5VideoStore, video: str) -> int:
    names = [stored.name for stored in store.videos]
    if video in names:
        return names.index(video)
    if video.isdecimal() and int(video) < len(names):
        return int(video)
    near = [name for name in names if video.lower() in name.lower()][:5] or names[:3]
    raise VimixError(f"{store.path} has no video {video!r}: expected a name such as {', '.join(near)}, or a number")


def _even(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row or column where a side is odd, which players do not accept."""
    height, width = frames.shape[1:3]
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
