"""Skeletons: from files to what a store holds, and what a recipe's networks need to know of them."""

from pathlib import Path

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import StoreSettings
from vimix_adapters.clips.skeleton_settings import SkeletonSettings
from vimix_adapters.clips.skeleton_writer import write_skeleton_part
from vimix_adapters.skeletons.layouts import find_layout
from vimix_adapters.skeletons.packing import Preparation, pack_file
from vimix_adapters.wiring.packing import store_settings


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


def skeleton_settings(recipe: config.Recipe, packing: StoreSettings | None = None) -> SkeletonSettings:
    """Layout and sizes of the recipe's store; if it does not exist, ``packing``'s, else NTU RGB+D's."""
    settings = store_settings(recipe.data.store) or packing
    return settings if isinstance(settings, SkeletonSettings) else SkeletonSettings(layout=find_layout("ntu"))


def batch_shape(recipe: config.Recipe, modality: Modality) -> tuple[int, int, int, int]:
    """Sizes of the recipe's clips of a modality, without the batch: [C, T, H, W] or [3, T, V, M]."""
    if modality in recipe.skeletons:
        settings = skeleton_settings(recipe)
        return 3, settings.frames, len(settings.layout.joints), settings.persons
    data = recipe.data
    return recipe.modalities[modality].channels, data.frames, data.size, data.size
