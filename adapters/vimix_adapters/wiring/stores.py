"""Builds stores, augmentations and clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vimix.ports.clips import TrainingClips, VideoStore
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters import config
from vimix_adapters.clips.augmentation import ClipAugmentation
from vimix_adapters.clips.by_format import augmentation_of
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.views import CENTRE, TEN_CROPS, ClipShape, Crop
from vimix_adapters.encoders.contrastive_network import Compute

CROPS: Mapping[str, tuple[Crop, ...]] = {"centre": (CENTRE,), "ten": TEN_CROPS}
"""Crops of a test video by name."""


def build_store(recipe: config.Recipe) -> Hdf5VideoStore:
    """The store of the recipe.

    Raises VimixError if the file is missing, lacks a modality of the recipe or holds clips that an encoder cannot
    read.
    """
    store = Hdf5VideoStore(Path(recipe.data.store))
    for name, modality in recipe.modalities.items():
        if name not in store.formats:
            advice = "add it with vimix flow, or " if name == FLOW and RGB in store.formats else ""
            raise VimixError(
                f"{recipe.data.store} has no modality {name!r}, only {', '.join(store.formats)}: {advice}remove it "
                "from the recipe's [modalities], or name another store (data.store)"
            )
        kind = store.formats[Modality(name)]
        maps = "planes" if kind.layout is None else "graph"
        if modality.entry.maps != maps:
            fitting = " or ".join(map(repr, config.encoders_for(maps)))
            raise VimixError(
                f"modalities.{name}.encoder: {modality.encoder!r} cannot read what {recipe.data.store} "
                f"holds as {name}: use encoder = {fitting}"
            )
        if modality.channels != kind.channels:
            raise VimixError(
                f"modalities.{name}.channels: {modality.channels}, but {recipe.data.store} holds {name} in "
                f"{kind.channels} channels: use channels = {kind.channels}"
            )
    return store


def build_augmentations(recipe: config.Recipe, store: VideoStore) -> dict[Modality, ClipAugmentation]:
    """The augmentation of each modality; the format of the store decides its kind."""
    return {
        Modality(name): augmentation_of(store.formats[Modality(name)], recipe.augment, recipe.augment_skeleton)
        for name in recipe.modalities
    }


def clip_shape(recipe: config.Recipe) -> ClipShape:
    """Frames, size and stride of a clip of pictures."""
    return ClipShape(recipe.data.frames, recipe.data.size, recipe.data.stride)


def build_training_clips(
    recipe: config.Recipe,
    store: VideoStore,
    views: Mapping[Modality, int],
    seed: int,
    compute: Compute,
    group: ProcessGroup | None = None,
) -> TrainingClips:
    """Shuffled, augmented batches of the training split: the rows of this rank."""
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
        share=(0, 1) if group is None else (group.rank, group.size),
    )


def build_evaluation_clips(
    recipe: config.Recipe,
    store: VideoStore,
    videos: Sequence[int],
    modality: Modality,
    compute: Compute,
    crops: str = "protocol",
) -> WindowedClips:
    """Windows over the whole of each video, as in the recipe's protocol.

    ``crops`` is a name in ``CROPS``; "protocol" is the crop of the protocol.
    """
    protocol = config.protocol_of(recipe)
    return WindowedClips(
        store,
        videos,
        modality=modality,
        clip=clip_shape(recipe),
        window_stride=window_stride(recipe),
        to_the_end=protocol.windows_end,
        pad_left=protocol.padding == "first frame",
        crops=CROPS.get(crops, (Crop(protocol.crop_share),)),
        device=compute.device,
        most=recipe.evaluate.batch_clips,
        workers=recipe.data.workers,
    )


def window_stride(recipe: config.Recipe) -> int:
    """Frames between the starts of two evaluation windows, as in the recipe's protocol."""
    chosen = config.protocol_of(recipe).window_stride
    return chosen if isinstance(chosen, int) else max(1, recipe.data.frames * recipe.data.stride // 2 - 1)


def require_labels(store: VideoStore, split: str) -> None:
    """Raise VimixError if a video of the split has no label, because it cannot be scored."""
    without = [store.videos[number].name for number in store.members(split) if store.videos[number].label < 0]
    if without:
        raise VimixError(
            f"{len(without)} videos of split {split!r} have no label ({without[0]}, ...): choose another split, or "
            "prepare the store with labels"
        )


def sources_of(store: VideoStore) -> NDArray[np.int64]:
    """Number of the recording of each video, [N] int64; siblings have the same number."""
    names = {source: number for number, source in enumerate(dict.fromkeys(video.source for video in store.videos))}
    return np.array([names[video.source] for video in store.videos], dtype=np.int64)
