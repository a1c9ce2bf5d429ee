"""Evaluation clips of a video or skeleton file outside any store."""

from pathlib import Path

from attrs import evolve
from torch import Tensor

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters import config, wiring
from vimix_adapters.clips.evaluation import windows_of
from vimix_adapters.clips.hdf5 import formats_of
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.prepare.skeleton_store import pack_skeleton
from vimix_adapters.prepare.video_store import pack_frames


def build_file_clips(
    recipe: config.Recipe,
    video: Path,
    settings: PackSettings | SkeletonSettings,
    modality: Modality,
    compute: Compute,
) -> Tensor:
    """Return evaluation clips [N, C, T, H, W] of a file, prepared with the ``settings`` of a store.

    Raises VimixError naming the file if it cannot be read.
    """
    if modality != FLOW and isinstance(settings, PackSettings) and settings.flow == "imported":
        settings = evolve(settings, flow="none")
    kind = formats_of(settings)[modality]
    frames: Frames
    try:
        if isinstance(settings, SkeletonSettings):
            frames = pack_skeleton(video, settings)
        else:
            frames = pack_frames(video, settings)[0][modality]
    except VimixError as error:
        raise VimixError(f"{video}: {error}") from error
    return windows_of(frames, kind, wiring.clip_shape(recipe), wiring.window_stride(recipe), compute.device)[0]
