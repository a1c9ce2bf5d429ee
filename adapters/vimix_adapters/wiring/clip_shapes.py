"""Sizes of a recipe's clips, and the layout of its skeletons."""

from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.config.store_settings import SkeletonSettings, StoreSettings
from vimix_adapters.skeletons.layouts import find_layout
from vimix_adapters.wiring.recorded_settings import store_settings


def skeleton_settings(recipe: config.Recipe, packing: StoreSettings | None = None) -> SkeletonSettings:
    """Layout and sizes of the skeletons in the recipe's store; if it does not exist, ``packing``, else NTU RGB+D's."""
    settings = store_settings(recipe.data.store) or packing
    return settings if isinstance(settings, SkeletonSettings) else SkeletonSettings(layout=find_layout("ntu"))


def batch_shape(recipe: config.Recipe, modality: Modality) -> tuple[int, int, int, int]:
    """Sizes of a clip of the modality: [C, T, H, W] of pictures, [C, T, V, M] of skeletons."""
    channels = recipe.modalities[modality].channels
    if modality in recipe.skeletons:
        settings = skeleton_settings(recipe)
        return channels, settings.frames, len(settings.layout.joints), settings.persons
    data = recipe.data
    return channels, data.frames, data.size, data.size
