"""One video or skeleton file, read as a store holds it."""

import multiprocessing
from pathlib import Path

from attrs import frozen

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.hdf5_writer import as_stored
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings, StoreSettings
from vimix_adapters.prepare.skeleton_store import pack_skeleton
from vimix_adapters.prepare.video_store import pack_frames
from vimix_adapters.prepare.worker_pool import run_jobs

SECONDS = 3600.0
"""Time limit of a video, as in ``vimix prepare``."""


@frozen
class _Wanted:
    path: Path
    settings: PackSettings
    modality: Modality


def read_as_stored(path: Path, settings: StoreSettings, modality: Modality, seconds: float = SECONDS) -> Frames:
    """Read a file as it would be read from a store with ``settings``, with JPEG's losses; flow is computed.

    A video is decoded in a process of its own, which it may crash or hang. Returns uint8 [T, H, W, C], or float32
    [T, V, M, C] of a skeleton. Raises VimixError naming the file.
    """
    try:
        if isinstance(settings, SkeletonSettings):
            return pack_skeleton(path, settings)
        wanted = _Wanted(path, settings, modality)
        if multiprocessing.current_process().daemon:  # a worker, which can be killed itself and starts no processes
            return read_wanted(wanted)
        (outcome,) = run_jobs(read_wanted, [wanted], 1, seconds)
        if outcome.reason is not None:
            raise VimixError(outcome.reason)
        frames: Frames = outcome.value
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error
    return frames


def read_wanted(wanted: _Wanted) -> Frames:
    """Decode a video in this process; uint8 [T, H, W, C]. Raises VimixError with the reason if it cannot be read."""
    frames, _ = pack_frames(wanted.path, wanted.settings, flow=wanted.modality == FLOW)
    return as_stored(frames[wanted.modality], wanted.modality, wanted.settings)
