"""Stores, and clips out of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vimix.ports.clips import EvaluationClips, TrainingClips, VideoStore
from vimix.ports.team import Team
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import config
from vimix_adapters.clips.augmentation import ClipAugmentation, FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.skeletons import SkeletonAugmentation
from vimix_adapters.clips.views import CENTRE, TEN_CROPS, ClipShape, Crop
from vimix_adapters.encoders.network import Compute

CROPS: Mapping[str, tuple[Crop, ...]] = {"centre": (CENTRE,), "ten": TEN_CROPS}
"""By name; ``protocol`` stands for the one crop of the recipe's protocol."""


def build_store(recipe: config.Recipe) -> Hdf5VideoStore:
    """The recipe's store.

    Raises VimixError if the file is missing, lacks a modality of the recipe or holds another kind of clips.
    """
    store = Hdf5VideoStore(Path(recipe.data.store))
    for name, modality in recipe.modalities.items():
        if name not in store.formats:
            way_out = "add it with vimix flow, or " if name == FLOW and RGB in store.formats else ""
            raise VimixError(
                f"{recipe.data.store} has no modality {name!r}, only {', '.join(store.formats)}: {way_out}take it out "
                "of the recipe's [modalities], or name another store (data.store)"
            )
        kind = store.formats[Modality(name)]
        fits = "s3d" if kind.layout is None else "stgcn"
        if modality.encoder != fits:
            raise VimixError(
                f"modalities.{name}.encoder: {modality.encoder!r} cannot read what {recipe.data.store} "
                f"holds as {name}: use encoder = {fits!r}"
            )
        if modality.channels != kind.channels:
            raise VimixError(
                f"modalities.{name}.channels: {modality.channels}, but {recipe.data.store} holds {name} in "
                f"{kind.channels} channels: use channels = {kind.channels}"
            )
    return store


def build_augmentations(recipe: config.Recipe, store: VideoStore) -> dict[Modality, ClipAugmentation]:
    """Pictures, vector fields or skeletons, by the format of the store."""
    return {Modality(name): _augmentation(recipe, store.formats[Modality(name)]) for name in recipe.modalities}


def _augmentation(recipe: config.Recipe, kind: ModalityFormat) -> ClipAugmentation:
    if kind.layout is not None:
        return SkeletonAugmentation(kind, recipe.augment_skeleton)
    return FlowAugmentation(recipe.augment) if kind.bound else PictureAugmentation(recipe.augment)


def clip_shape(recipe: config.Recipe) -> ClipShape:
    """Frames, size and stride of a clip of pictures."""
    return ClipShape(recipe.data.frames, recipe.data.size, recipe.data.stride)


def build_training_clips(
    recipe: config.Recipe,
    store: VideoStore,
    views: Mapping[Modality, int],
    seed: int,
    compute: Compute,
    team: Team | None = None,
) -> TrainingClips:
    """Shuffled, augmented batches of the training split: this member's rows of them."""
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
        share=(0, 1) if team is None else (team.rank, team.size),
    )


def build_evaluation_clips(
    recipe: config.Recipe,
    store: VideoStore,
    videos: Sequence[int],
    modality: Modality,
    compute: Compute,
    crops: str = "protocol",
) -> EvaluationClips:
    """Windows over the whole of each of the videos, as the recipe's protocol lays them."""
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
    """Frames between two evaluation windows: the protocol's; half a window less one is CoCLR's and ours."""
    chosen = config.protocol_of(recipe).window_stride
    return chosen if isinstance(chosen, int) else max(1, recipe.data.frames * recipe.data.stride // 2 - 1)


def require_labels(store: VideoStore, split: str) -> None:
    """Raise VimixError if a video of the split has no label: it can be trained on, but not scored."""
    without = [store.videos[number].name for number in store.members(split) if store.videos[number].label < 0]
    if without:
        raise VimixError(
            f"{len(without)} videos of split {split!r} have no label ({without[0]}, ...): choose another split"
        )


def sources_of(store: VideoStore) -> NDArray[np.int64]:
    """[N] int64: the store's recordings as numbers, siblings alike."""
    names = {source: number for number, source in enumerate(dict.fromkeys(video.source for video in store.videos))}
    return np.array([names[video.source] for video in store.videos], dtype=np.int64)
