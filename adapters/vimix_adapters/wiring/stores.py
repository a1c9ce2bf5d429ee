"""Stores, and clips out of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor

from vimix.ports.clips import EvaluationClips, TrainingClips, VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, Modality
from vimix_adapters import config
from vimix_adapters.clips.augmentation import ClipAugmentation, FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.evaluation import WindowedClips, windows_of
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, PackSettings, formats_of
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.views import CENTRE, TEN_CROPS, ClipShape, Crop
from vimix_adapters.encoders.network import Compute
from vimix_adapters.wiring.packing import pack_frames

CROPS: Mapping[str, tuple[Crop, ...]] = {"centre": (CENTRE,), "ten": TEN_CROPS}


def build_store(recipe: config.Recipe) -> Hdf5VideoStore:
    """The recipe's store. Raises VimixError if the file is missing or lacks a modality of the recipe."""
    store = Hdf5VideoStore(Path(recipe.data.store))
    for name in recipe.modalities:
        if name not in store.formats:
            raise VimixError(
                f"{recipe.data.store} has no modality {name!r}, only {', '.join(store.formats)}: prepare it with "
                "--flow, or take it out of the recipe's [modalities]"
            )
    return store


def build_augmentations(recipe: config.Recipe, store: VideoStore) -> dict[Modality, ClipAugmentation]:
    """Pictures or vector fields, by the format of the store."""
    return {
        Modality(name): FlowAugmentation(recipe.augment)
        if store.formats[Modality(name)].bound
        else PictureAugmentation(recipe.augment)
        for name in recipe.modalities
    }


def clip_shape(recipe: config.Recipe) -> ClipShape:
    """Frames, size and stride of a clip."""
    return ClipShape(recipe.data.frames, recipe.data.size, recipe.data.stride)


def build_training_clips(
    recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int], seed: int, compute: Compute
) -> TrainingClips:
    """Shuffled, augmented batches of the training split."""
    data = recipe.data
    return TrainingLoader(
        store,
        data.train_split,
        views=views,
        clip=clip_shape(recipe),
        batch=recipe.optim.batch,
        seed=seed,
        augmentations=build_augmentations(recipe, store),
        device=compute.device,
        workers=data.workers,
        max_bad_fraction=data.max_bad_fraction,
    )


def build_evaluation_clips(
    recipe: config.Recipe,
    store: VideoStore,
    videos: Sequence[int],
    modality: Modality,
    compute: Compute,
    crops: str = "centre",
) -> EvaluationClips:
    """Windows over the whole of each of the videos."""
    return WindowedClips(
        store,
        videos,
        modality=modality,
        clip=clip_shape(recipe),
        window_stride=window_stride(recipe),
        crops=CROPS[crops],
        device=compute.device,
        workers=recipe.data.workers,
    )


def window_stride(recipe: config.Recipe) -> int:
    """Frames between two evaluation windows: the recipe's, or half a window less one (CoCLR)."""
    chosen = recipe.evaluate.stride
    return chosen if chosen is not None else max(1, recipe.data.frames * recipe.data.stride // 2 - 1)


def build_file_clips(
    recipe: config.Recipe, video: Path, settings: PackSettings, modality: Modality, compute: Compute
) -> Tensor:
    """Evaluation clips [N, C, T, H, W] of a video file, prepared as a store with ``settings`` would have it."""
    if modality != FLOW and settings.flow == "imported":
        settings = evolve(settings, flow="none")
    try:
        frames, _ = pack_frames(video, settings)
    except VimixError as error:
        raise VimixError(f"{video}: {error}") from error
    kind = formats_of(settings)[modality]
    return windows_of(frames[modality], kind, clip_shape(recipe), window_stride(recipe), compute.device)[0]


def sources_of(store: VideoStore) -> NDArray[np.int64]:
    """[N] int64: the store's recordings as numbers, siblings alike."""
    names = {source: number for number, source in enumerate(dict.fromkeys(video.source for video in store.videos))}
    return np.array([names[video.source] for video in store.videos], dtype=np.int64)
