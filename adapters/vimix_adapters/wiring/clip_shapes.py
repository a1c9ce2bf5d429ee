"""Sizes of a recipe's clips, and the layout of its skeletons."""

from pathlib import Path

from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.layouts import find_layout


def skeleton_settings(recipe: config.Recipe) -> SkeletonSettings:
    """Layout and sizes of the skeletons in the recipe's store; of NTU RGB+D if there is no such store."""
    path = Path(recipe.data.store)
    settings = Hdf5VideoStore(path).settings if recipe.data.store and path.exists() else None
    return settings if isinstance(settings, SkeletonSettings) else SkeletonSettings(layout=find_layout("ntu"))


def batch_shape(recipe: config.Recipe, modality: Modality) -> tuple[int, int, int, int]:
    """Sizes of a clip of the modality: [C, T, H, W] of pictures, [3, T, V, M] of skeletons."""
    if modality in recipe.skeletons:
        settings = skeleton_settings(recipe)
        return 3, settings.frames, len(settings.layout.joints), settings.persons
    data = recipe.data
    return recipe.modalities[modality].channels, data.frames, data.size, data.size
