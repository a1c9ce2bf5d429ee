"""Evaluation clips of videos that are in no store: frames in memory and files, prepared as those of a store are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from attrs import evolve, frozen
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.clips import VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import config
from vimix_adapters.clips.arrays import ArrayStore
from vimix_adapters.clips.hdf5 import StoreSettings, formats_of
from vimix_adapters.clips.hdf5_writer import as_stored
from vimix_adapters.clips.skeleton_settings import SkeletonSettings
from vimix_adapters.encoders.network import Compute
from vimix_adapters.wiring.packing import pack_frames
from vimix_adapters.wiring.skeletons import pack_skeleton
from vimix_adapters.wiring.stores import build_evaluation_clips


@frozen(eq=False)
class UnstoredClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` for ``count`` videos that ``frames(number)`` gives one by one.

    Frames are uint8 [T, H, W, C], of a skeleton float32 [T, V, M, 3]. One video is in memory at a time.
    """

    recipe: config.Recipe
    count: int
    frames: Callable[[int], Frames]
    kind: ModalityFormat
    compute: Compute

    def __len__(self) -> int:
        """Number of videos."""
        return self.count

    def videos(self) -> Iterator[VideoClips]:
        """In order of their numbers, with label -1. Raises what ``frames`` raises."""
        recipe = evolve(self.recipe, data=evolve(self.recipe.data, workers=0))
        for number in range(self.count):
            store = ArrayStore(self.frames(number), self.kind)
            clips = build_evaluation_clips(recipe, store, [0], self.kind.modality, self.compute)
            for part in clips.videos():
                yield evolve(part, video=number)


def build_file_clips(
    recipe: config.Recipe,
    video: Path,
    settings: StoreSettings,
    modality: Modality,
    compute: Compute,
) -> Tensor:
    """Evaluation clips [N, C, T, H, W] of a video or skeleton file, prepared as a store with ``settings`` has it.

    Raises VimixError naming the file if it cannot be read.
    """

    def frames(_: int) -> Frames:
        return read_as_stored(video, settings, modality)

    clips = UnstoredClips(recipe, 1, frames, formats_of(settings)[modality], compute)
    return torch.cat([part.clips for part in clips.videos()])


def read_as_stored(path: Path, settings: StoreSettings, modality: Modality) -> Frames:
    """The frames of a file as a store with ``settings`` would give them, JPEG included: flow is computed.

    Returns uint8 [T, H, W, C], of a skeleton float32 [T, V, M, 3]. Raises VimixError naming the file.
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
    """Packing sets OpenCV, and torch for some flow, to one thread: right for a worker process, not for a caller's."""
    of_torch, of_opencv = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(of_torch)
        cv2.setNumThreads(of_opencv)
