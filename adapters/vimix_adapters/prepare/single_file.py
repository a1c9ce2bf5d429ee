"""One video or skeleton file, read as a store holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.decode import FrameSource, open_frames
from vimix_adapters.clips.hdf5_writer import as_stored
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings, StoreSettings
from vimix_adapters.prepare.skeleton_store import pack_skeleton
from vimix_adapters.prepare.video_store import pack_frames, pack_pieces, reading_of


def read_as_stored(path: Path, settings: StoreSettings, modality: Modality) -> Frames:
    """Read a file as it would be read from a store with ``settings``, with JPEG's losses; flow is computed.

    Returns uint8 [T, H, W, C], or float32 [T, V, M, 3] of a skeleton. Raises VimixError naming the file.
    """
    return read_with_rate(path, settings, modality)[0]


def read_with_rate(path: Path, settings: StoreSettings, modality: Modality) -> tuple[Frames, float | None]:
    """Read a file as ``read_as_stored`` does, and the rate of its frames a second.

    The rate of a skeleton is None: its sequence is resized to the frames of the store.
    """
    try:
        if isinstance(settings, SkeletonSettings):
            return pack_skeleton(path, settings), None
        with _threads_restored():
            packed, decoded = pack_frames(path, settings, flow=modality == FLOW)
        return as_stored(packed[modality], modality, settings), decoded.rate
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error


def stream_as_stored(path: Path, settings: PackSettings, modality: Modality) -> tuple[float, Iterator[Frames]]:
    """Frames a second of a video file, and its frames as ``read_as_stored`` gives them, in pieces [T, H, W, C].

    The rate is the one that the file declares, or that of the store if it is lower. One piece is in memory at a time.
    Raises VimixError naming the file, perhaps when a piece is read.
    """
    try:
        source = open_frames(path)
        rate = min(source.rate, settings.rate or source.rate)
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error
    return rate, _pieces(path, source, settings, modality)


def _pieces(path: Path, source: FrameSource, settings: PackSettings, modality: Modality) -> Iterator[Frames]:
    try:
        with _threads_restored():
            for found, piece in pack_pieces(reading_of(source, settings), settings, flow=modality == FLOW):
                if found == modality:
                    yield as_stored(piece, modality, settings)
    except VimixError as error:
        raise VimixError(f"{path}: {error}") from error


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Restore the threads of OpenCV and torch, which packing sets to one, as is right for a worker process."""
    of_torch, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        cv2.setNumThreads(of_opencv)
