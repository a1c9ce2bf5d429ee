"""Builds stores, augmentations and clips."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from vimix.app.parallel import SINGLE_PROCESS
from vimix.ports.clips import Frames, TrainingClips, VideoStore
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import config
from vimix_adapters.clips.array_store import ArrayStore
from vimix_adapters.clips.augmentation import augmentation_of
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


def clip_shape(recipe: config.Recipe) -> ClipShape:
    """Frames, size and stride of a clip of pictures."""
    return ClipShape(recipe.data.frames, recipe.data.size, recipe.data.stride)


def build_training_clips(
    recipe: config.Recipe,
    store: VideoStore,
    views: Mapping[Modality, int],
    seed: int,
    compute: Compute,
    group: ProcessGroup = SINGLE_PROCESS,
) -> TrainingClips:
    """Shuffled, augmented batches of the training split: the rows of this rank."""
    data = recipe.data
    augmentations = {
        m: augmentation_of(store.formats[m], recipe.augment, recipe.augment_skeleton)
        for m in map(Modality, recipe.modalities)
    }
    return TrainingLoader(
        store,
        data.train_split,
        views=views,
        clip=clip_shape(recipe),
        batch=recipe.optim.batch,
        seed=seed,
        augmentations=augmentations,
        device=compute.device,
        workers=data.workers,
        max_bad_fraction=data.max_bad_fraction,
        share=(group.rank, group.size),
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


@frozen(eq=False)
class UnstoredClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` for ``count`` videos that ``frames(number)`` gives one by one.

    Frames are uint8 [T, H, W, C], of a skeleton float32 [T, V, M, C]. One video is in memory at a time.
    """

    recipe: config.Recipe
    count: int
    frames: Callable[[int], Frames]
    kind: ModalityFormat
    compute: Compute
    crops: str = "protocol"
    """Name of the crops, as ``build_evaluation_clips`` takes it."""

    def __len__(self) -> int:
        """Number of videos."""
        return self.count

    def videos(self) -> Iterator[VideoClips]:
        """The videos in the order of their numbers, with label -1. Raises what ``frames`` raises."""
        recipe = evolve(self.recipe, data=evolve(self.recipe.data, workers=0))
        for number in range(self.count):
            store = ArrayStore(self.frames(number), self.kind)
            clips = build_evaluation_clips(recipe, store, [0], self.kind.modality, self.compute, self.crops)
            for part in clips.videos():
                yield evolve(part, video=number)


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
