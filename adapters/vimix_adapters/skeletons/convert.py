"""Converting skeleton files to the sequences of a store."""

from pathlib import Path

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.formats import read_skeletons
from vimix_adapters.skeletons.preprocess import preprocessed
from vimix_adapters.skeletons.sequence import Expected


@frozen(eq=False)
class PackedSkeleton:
    """Joints [T, V, M, C] float32 as stored, and the number of recorded frames."""

    joints: NDArray[np.float32]
    recorded: int


def pack_file(path: Path, how: SkeletonSettings, part: str = "") -> PackedSkeleton:
    """Read and preprocess a file, or a part of it. Raises VimixError with the reason if it cannot be read."""
    raw = read_skeletons(path, Expected(len(how.layout.joints), how.channels, how.axes), part)
    if raw.joints.shape[2] < how.dimensions or (how.score and raw.scores is None):
        raise VimixError(
            f"it has {' '.join(raw.channels)}, the store {' '.join(how.channels)}: make a store of its own "
            "from it, or name channels that all files have with --channels"
        )
    joints = preprocessed(
        evolve(raw, joints=raw.joints[..., : how.dimensions], scores=raw.scores if how.score else None),
        how.layout,
        frames=how.frames,
        persons=how.persons,
        denoise=how.denoise,
        align=how.align,
        not_found=how.not_found,
    )
    return PackedSkeleton(joints, int(raw.frame[-1]) + 1)
