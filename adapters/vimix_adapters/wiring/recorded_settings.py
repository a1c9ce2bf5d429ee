"""The settings of a recipe's store, the sizes of its clips, and the record of the settings in checkpoints."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import asdict

from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, settings_of
from vimix_adapters.clips.shards import head_file, is_store
from vimix_adapters.config.store_settings import SkeletonSettings, StoreSettings
from vimix_adapters.skeletons.layouts import find_layout

PACKING = "packing"
"""The key of ``Checkpoint.about`` that holds the settings of the store as JSON."""


def store_settings(store: str) -> StoreSettings | None:
    """The settings of the store at that path; None if there is none."""
    path = Path(store)
    if not is_store(path):
        return None
    file = head_file(path).stat()
    return _settings(path, (file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size))


@lru_cache(maxsize=16)
def _settings(store: Path, state: tuple[int, ...]) -> StoreSettings:
    """The settings of a store, kept while ``state``, that of the file with its head, is the same.

    A command asks for them many times, and each reading parses the list of all videos.
    """
    del state
    return Hdf5VideoStore(store).settings


def packing_record(settings: StoreSettings | None) -> dict[str, str]:
    """The entry of ``Checkpoint.about`` with which a checkpoint can be used without its store; empty for None."""
    return {} if settings is None else {PACKING: json.dumps(asdict(settings))}


def recorded_packing(about: Mapping[str, Any]) -> StoreSettings | None:
    """The settings of the store that a checkpoint was trained on; None if the checkpoint does not record them."""
    return settings_of(json.loads(str(about[PACKING]))) if PACKING in about else None


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
