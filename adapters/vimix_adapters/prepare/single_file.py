"""One video or skeleton file, read as a store holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters.clips.hdf5_writer import as_stored
from vimix_adapters.config.store_settings import SkeletonSettings, StoreSettings
from vimix_adapters.prepare.skeleton_store import pack_skeleton
from vimix_adapters.prepare.video_store import pack_frames


def read_as_stored(path: Path, settings: StoreSettings, modality: Modality) -> Frames:
    """Read a file as it would be read from a store with ``settings``, with JPEG's losses; flow is computed.

    Returns uint8 [T, H, W, C], or float32 [T, V, M, C] of a skeleton. Raises VimixError naming the file.
    """
    try:
        if isinstance(settings, SkeletonSettings):
            return pack_skeleton(path, settings)
        with _threads_restored():
            frames = pack_frames(path, settings, flow=modality == FLOW)[0][modality]
        return as_stored(frames, modality, settings)
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
