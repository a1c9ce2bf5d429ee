"""Features of all clips or videos of a store, for an index or a file of features."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Generic

from attrs import evolve, frozen

from vimix.app.feature_extraction import extract_clip_features, extract_features
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.digests import state_digest
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands import scores
from vimix_adapters.commands.spread_features import Features, FeatureTasks, spread_features
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.encoders.contrastive_network import ContrastiveNetwork
from vimix_adapters.reports.environment import commit, versions


@frozen(eq=False)
class EmbeddedStore(Generic[Features]):
    """The features of all clips or videos of a store, and the objects that they were computed with."""

    recipe: config.Recipe
    """The recipe with this store in place of its own."""
    store: Hdf5VideoStore
    checkpoint: Checkpoint
    modality: Modality
    network: ContrastiveNetwork
    clips: WindowedClips
    features: Features

    @property
    def window(self) -> int:
        """Frames that a clip spans; a clip of a skeleton is the whole sequence."""
        packing, data = self.store.settings, self.recipe.data
        return packing.frames if isinstance(packing, SkeletonSettings) else data.frames * data.stride


def embed_store(
    recipe: config.Recipe,
    checkpoint: Path,
    store: Path,
    device: str,
    kind: type[Features],
    tasks: FeatureTasks | None = None,
) -> EmbeddedStore[Features]:
    """Embed all clips of all videos of ``store`` in this process, or with ``tasks``.

    ``kind`` is ClipFeatures, or VideoFeatures, which hold one row a video: its clips are pooled as they come. Raises
    VimixError if the recipe lacks the checkpoint's modality, and what ``spread_features`` raises.
    """
    recipe = evolve(recipe, data=evolve(recipe.data, store=str(store)))
    compute, opened = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    loaded = load_trained(checkpoint)
    modality = Modality(loaded.modality)
    if modality not in recipe.modalities:
        raise VimixError(f"{checkpoint} is a checkpoint of {modality}, which the recipe does not have")
    network, videos = wiring.build_trained(recipe, loaded, compute), range(len(opened.videos))
    batch, pooled = recipe.evaluate.batch_clips, issubclass(kind, VideoFeatures)
    extract: Callable[..., Any] = partial(extract_clip_features, batch=batch)
    if pooled:
        sources, pool = wiring.sources_of(opened), wiring.build_pooling(recipe)
        extract = partial(extract_features, sources=sources, batch=batch, pool=pool)
    clips = wiring.build_evaluation_clips(recipe, opened, videos, modality, compute)
    if tasks is None:
        features: Features = extract(network, clips)
    else:
        tasks = evolve(tasks, checkpoints={modality: checkpoint})
        about = tasks.manifest(network, opened, modality, "all", recipe)
        manifest = {**about, "rows": "video" if pooled else "clip"}
        features = spread_features(tasks, recipe, opened, videos, manifest, extract, kind)
    return EmbeddedStore(recipe, opened, loaded, modality, network, clips, features)


def checkpoint_files(checkpoint: Path) -> list[Path]:
    """The files that a command reads for ``checkpoint``, which no output may replace."""
    return [checkpoint, checkpoint / "last.pt"]


def encoder_record(
    modality: str, state: Mapping[str, Any], trained: Checkpoint, recipe: config.Recipe, l2: bool
) -> dict[str, Any]:
    """Plain data on the encoder that features were computed with, whose weights are ``state``, and on the code."""
    return {
        "modality": str(modality),
        "l2_normalised": l2,
        "weights": state_digest(state),
        "checkpoint": dict(trained.about),
        "protocol": scores.protocol(recipe),
        "commit": commit(),
        "versions": versions(),
    }
