"""The settings that decide a training, and the identity of stages that are the same training."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict, evolve

from vimix_adapters.config.arms import of_arm, of_stage
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.config.recipe_stages import CmmcStage, Stage
from vimix_adapters.config.schema import Recipe


def training_settings(recipe: Recipe) -> dict[str, Any]:
    """All settings that decide what a training computes, as plain data by the recipe's keys, the arms apart.

    A new key of the recipe belongs to them until it is taken out here. The store is not one of them: its content
    decides, and checkpoints hold its fingerprint.
    """
    settings = asdict(recipe)
    for section in ("name", "arms", "finetune", "evaluate", "run"):
        del settings[section]
    for key in ("store", "workers", "max_bad_fraction"):
        del settings["data"][key]
    return settings


def stage_identities(recipe: Recipe, arm: str) -> list[str]:
    """One digest a stage of the arm: equal digests mean equal trainings, bit for bit.

    A digest covers the settings that decide the stage, its number in the arm (which seeds it) and the digests of the
    stages whose weights it starts from.
    """
    own, newest = of_arm(recipe, arm), dict[str, str]()
    identities = []
    for number, stage in enumerate(recipe.arms[arm].stages):
        starts = [newest.get(modality) for modality in stage.modalities]
        identities.append(_digest([_settings_of(own, stage), number, starts]))
        newest |= dict.fromkeys(stage.trained, identities[-1])
    return identities


def training_differences(begun: Recipe, now: Recipe) -> list[str]:
    """Keys that decide a training and differ between ``begun`` and ``now``; empty if a run can go on.

    Arms may be added or removed, and titles of arms may change.
    """
    old, new = training_settings(begun), training_settings(now)
    arms = [
        f"[arms.{name}]" for name in begun.arms if name in now.arms and _trained(begun, name) != _trained(now, name)
    ]
    return [*(key for name in old for key in _changed(name, old[name], new[name])), *arms]


def _settings_of(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """Settings that decide one stage: of the encoders that take part, and with the inherited values filled in."""
    recipe = of_stage(recipe, stage)
    settings = training_settings(recipe)
    del settings["pretrain"], settings["cmmc"]
    encoders = {name: evolve(recipe.modalities[name], lr=None) for name in stage.modalities}
    if not isinstance(stage, CmmcStage):  # maps are not mixed, so that it does not matter where they could be cut
        encoders = {name: evolve(encoder, stages=ModalitySettings().stages) for name, encoder in encoders.items()}
    settings["modalities"] = {name: asdict(encoder) for name, encoder in encoders.items()}
    rates = [recipe.rate(stage), *map(recipe.rate_of, stage.trained[1:])]
    positives = stage.positives and asdict(stage.positives)
    return {**settings, "stage": [stage.name, asdict(recipe.stage(stage)), rates, positives]}


def _trained(recipe: Recipe, arm: str) -> object:
    settings = recipe.arms[arm]
    return settings.stages, settings.set


def _changed(key: str, old: object, new: object) -> Iterator[str]:
    """The keys below ``key`` whose values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
        for name in old:
            yield from _changed(f"{key}.{name}", old[name], new[name])
    elif old != new:
        yield key


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
