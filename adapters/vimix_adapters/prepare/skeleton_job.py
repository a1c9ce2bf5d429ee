"""Skeleton files turned into what a store holds."""

from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.clips.skeleton_writer import write_skeleton_part
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.convert import Preparation, pack_file


def pack_skeleton(path: Path, settings: SkeletonSettings) -> NDArray[np.float32]:
    """A skeleton file as a store with ``settings`` would hold it, [T, V, M, 3].

    Raises VimixError with the reason if the file cannot be read.
    """
    return pack_file(path, _preparation(settings)).joints


@frozen
class SkeletonJob:
    """Some files to turn into a part."""

    files: tuple[Path, ...]
    part: Path


def pack_skeletons(job: SkeletonJob, settings: SkeletonSettings) -> None:
    """What a worker does with some files: a file that cannot be read leaves its reason in the part."""
    how, sequences = _preparation(settings), []
    outcomes: list[int | str] = []
    for file in job.files:
        try:
            packed = pack_file(file, how)
        except VimixError as error:
            outcomes.append(str(error))
        else:
            sequences.append(packed.joints)
            outcomes.append(packed.recorded)
    write_skeleton_part(job.part, sequences, outcomes, settings)


def _preparation(settings: SkeletonSettings) -> Preparation:
    return Preparation(settings.layout, settings.frames, settings.persons, settings.denoise, settings.align)
