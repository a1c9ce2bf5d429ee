"""Skeleton files turned into what a store holds, one by one or in a pool of processes. Imports nothing heavy."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.skeletons.preprocess import preprocessed
from vimix_adapters.skeletons.texts import read_skeletons

CHUNK = 16
"""Files given to a worker at once."""


@frozen
class Preparation:
    """The choices of ``preprocessed``, to be sent to a worker."""

    layout: SkeletonLayout
    frames: int
    persons: int
    denoise: str
    align: str


@frozen(eq=False)
class PackedSkeleton:
    """``joints`` [T, V, M, 3] float32 as stored, of a recording of ``recorded`` frames."""

    joints: NDArray[np.float32]
    recorded: int


def pack_file(path: Path, how: Preparation) -> PackedSkeleton:
    """One file. Raises VimixError with the reason if it cannot be read."""
    raw = read_skeletons(path, len(how.layout.joints))
    joints = preprocessed(raw, how.layout, frames=how.frames, persons=how.persons, denoise=how.denoise, align=how.align)
    return PackedSkeleton(joints, int(raw.frame[-1]) + 1)


def pack_files(paths: Sequence[Path], how: Preparation, workers: int) -> Iterator[PackedSkeleton | str]:
    """All files in order, or the reason why one cannot be read; in ``workers`` processes, with one in this.

    Raises VimixError if a worker is killed.
    """
    pack = partial(_packed_or_reason, how=how)
    if workers <= 1 or len(paths) <= CHUNK:
        yield from map(pack, paths)
        return
    # Spawned, not forked: the caller may run threads (a progress bar), which a fork would tear.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(paths) // CHUNK + 1), context, _leave_interrupts_to_the_parent) as pool:
        try:
            yield from pool.map(pack, paths, chunksize=CHUNK)
        except BrokenProcessPool as error:
            raise VimixError("a worker process was killed (out of memory?): try again with fewer --workers") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _packed_or_reason(path: Path, how: Preparation) -> PackedSkeleton | str:
    try:
        return pack_file(path, how)
    except VimixError as error:
        return str(error)
