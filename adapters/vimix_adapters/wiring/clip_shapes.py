"""Sizes of a recipe's clips, and the layout of its skeletons."""

from pathlib import Path

from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.layouts import find_layout


def skeleton_settings(recipe: config.Recipe) -> SkeletonSettings:
    """Layout and sizes of the recipe's store; without one yet (``--plan``) NTU RGB+D's, as in the paper."""
    path = Path(recipe.data.store)
    settings = Hdf5VideoStore(path).settings if recipe.data.store and path.exists() else None
    return settings if isinstance(settings, SkeletonSettings) else SkeletonSettings(layout=find_layout("ntu"))


def batch_shape(recipe: config.Recipe, modality: Modality) -> tuple[int, int, int, int]:
    """Sizes of the recipe's clips of a modality, without the batch: [C, T, H, W] or [3, T, V, M]."""
    if modality in recipe.skeletons:
        settings = skeleton_settings(recipe)
        return 3, settings.frames, len(settings.layout.joints), settings.persons
    data = recipe.data
    return recipe.modalities[modality].channels, data.frames, data.size, data.size
