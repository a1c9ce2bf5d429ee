"""Converting skeleton files to the sequences of a store."""

from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.skeletons.preprocess import preprocessed
from vimix_adapters.skeletons.texts import read_skeletons


@frozen
class Preparation:
    """The arguments of ``preprocessed``, as a value that can be sent to a worker."""

    layout: SkeletonLayout
    frames: int
    persons: int
    denoise: str
    align: str


@frozen(eq=False)
class PackedSkeleton:
    """Joints [T, V, M, 3] float32 as stored, and the number of recorded frames."""

    joints: NDArray[np.float32]
    recorded: int


def pack_file(path: Path, how: Preparation) -> PackedSkeleton:
    """Read and preprocess one file. Raises VimixError with the reason if it cannot be read."""
    raw = read_skeletons(path, len(how.layout.joints))
    joints = preprocessed(raw, how.layout, frames=how.frames, persons=how.persons, denoise=how.denoise, align=how.align)
    return PackedSkeleton(joints, int(raw.frame[-1]) + 1)
