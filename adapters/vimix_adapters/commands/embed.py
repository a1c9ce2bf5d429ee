"""Features of all clips of a store, for an index or a file of features."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from vimix.app.feature_extraction import extract_clip_features
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.digests import state_digest
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands import scores
from vimix_adapters.commands.spread_features import FeatureTasks, spread_features
from vimix_adapters.encoders.contrastive_network import ContrastiveNetwork
from vimix_adapters.reports.environment import commit, versions


@frozen(eq=False)
class EmbeddedStore:
    """The features of all clips of a store, and the objects that they were computed with."""

    recipe: config.Recipe
    """The recipe with this store in place of its own."""
    store: Hdf5VideoStore
    checkpoint: Checkpoint
    modality: Modality
    network: ContrastiveNetwork
    features: ClipFeatures


def embed_store(
    recipe: config.Recipe, checkpoint: Path, store: Path, device: str, tasks: FeatureTasks | None = None
) -> EmbeddedStore:
    """Embed all clips of all videos of ``store`` in this process, or with ``tasks``.

    Raises VimixError if the recipe lacks the checkpoint's modality, and what ``spread_features`` raises.
    """
    recipe = evolve(recipe, data=evolve(recipe.data, store=str(store)))
    compute, opened = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    loaded = load_trained(checkpoint)
    modality = Modality(loaded.modality)
    if modality not in recipe.modalities:
        raise VimixError(f"{checkpoint} is a checkpoint of {modality}, which the recipe does not have")
    network, videos = wiring.build_trained(recipe, loaded, compute), range(len(opened.videos))
    extract = partial(extract_clip_features, batch=recipe.evaluate.batch_clips)
    if tasks is None:
        features = extract(network, wiring.build_evaluation_clips(recipe, opened, videos, modality, compute))
    else:
        tasks = evolve(tasks, checkpoints={modality: checkpoint})
        manifest = tasks.manifest(network, opened, modality, "all", recipe)
        features = spread_features(tasks, recipe, opened, videos, manifest, extract, ClipFeatures)
    return EmbeddedStore(recipe, opened, loaded, modality, network, features)


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
