"""When two stages of a recipe's arms are one and the same training."""

import hashlib
import json
from typing import Any

from attrs import asdict, evolve

from vimix_adapters.config.schema import CmmcStage, Evaluate, Finetune, PretrainStage, Recipe, Run, Stage


def stage_identities(recipe: Recipe, arm: str) -> list[str]:
    """One text a stage of the arm: equal texts, equal training, bit for bit.

    It covers the recipe but for what does not train (arms, evaluation, name, workers), the stage with its inherited
    settings, its number (which seeds it) and, in the same way, the stages whose weights it starts from.
    """
    recipe = recipe.of_arm(arm)
    newest: dict[str, str] = {}
    identities = []
    for number, stage in enumerate(recipe.arms[arm].stages):
        trained = stage.modality
        others = [stage.partner] if isinstance(stage, CmmcStage) and stage.partner is not None else []
        starts = [newest.get(modality) for modality in (trained, *others)]
        identity = _digest([_trained_by(recipe, stage), number, trained, others, asdict(recipe.stage(stage)), starts])
        newest[trained] = identity
        identities.append(identity)
    return identities


def _trained_by(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """All settings that change a training; a key that is new in the recipe is one until it is taken out here.

    Where S3D may be cut matters to stages that mix hidden maps only.
    """
    data, modalities = evolve(recipe.data, workers=0, test_split=""), recipe.modalities
    if isinstance(stage, PretrainStage):
        modalities = {name: evolve(modality, stages="blocks") for name, modality in modalities.items()}
    return asdict(
        evolve(
            recipe,
            name="",
            arms={},
            data=data,
            modalities=modalities,
            evaluate=Evaluate(),
            finetune=Finetune(),
            run=Run(),
        ),
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
