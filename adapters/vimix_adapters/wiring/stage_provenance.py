"""Provenance of a training: digests of what it starts from, which its checkpoints keep."""

from collections.abc import Mapping

from attrs import asdict, evolve

from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint, Provenance
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.digests import settings_digest, state_digest

INHERITED = ("query", "key", "queue", "classifier")
"""Parts of a checkpoint that the next training starts from."""


def stage_provenance(store: VideoStore, stage: Stage, inits: Mapping[Modality, Checkpoint]) -> Provenance:
    """Data and initial weights of a self-supervised stage. Its settings are in the recipe of the run's folder."""
    weights = {f"weights of {m}": _weights(inits[m]) for m in stage.views_needed if m in inits}
    return {"data": store.fingerprint, **weights}


def supervised_provenance(
    store: VideoStore, recipe: config.Recipe, modality: Modality, init: Checkpoint | None, settings: object
) -> Provenance:
    """Data, initial weights (``init`` None: random ones) and settings of a training with labels.

    ``settings`` are those of the task; ``supervised_settings`` adds those of the recipe.
    """
    trained_as = supervised_settings(recipe, modality)
    return {
        "data": store.fingerprint,
        "weights to start from": "random" if init is None else _weights(init),
        "settings of the training": settings_digest(settings),
        **{name: settings_digest(value) for name, value in trained_as.items()},
    }


def supervised_settings(recipe: config.Recipe, modality: Modality) -> dict[str, object]:
    """Settings of the recipe that decide a training with labels, as plain data by the recipe's keys."""
    data = recipe.data
    clips = {"split": data.train_split, "frames": data.frames, "size": data.size, "stride": data.stride}
    pictures = modality in recipe.pictures
    encoder = asdict(evolve(recipe.modalities[modality], lr=None))
    del encoder["weights"]  # the weights to start from are a checkpoint's
    return {
        "clips": clips,
        "augment" if pictures else "augment_skeleton": asdict(recipe.augment if pictures else recipe.augment_skeleton),
        "optim.batch": recipe.optim.batch,
        f"modalities.{modality}": encoder,
    }


def _weights(checkpoint: Checkpoint) -> str:
    return " ".join(state_digest(checkpoint.parts[part])[:16] for part in INHERITED if part in checkpoint.parts)
