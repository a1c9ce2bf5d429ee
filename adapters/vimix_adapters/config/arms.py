"""The recipe of one arm or stage: the recipe of the run with the keys that the arm or the stage sets."""

from attrs import evolve
from cattrs import BaseValidationError

from vimix_adapters.config.recipe_stages import Stage
from vimix_adapters.config.schema import Recipe
from vimix_adapters.config.tree import recipe_of, set_key, tree_of
from vimix_adapters.structuring import mistakes

_SECTIONS = ("augment", "augment_skeleton", "cmmc", "contrast", "modalities", "optim", "pretrain")
"""Sections that an arm may change: those that training alone reads."""
_OF_A_MODALITY = ("batch_norm_momentum", "init", "lr", "stages", "stgcn.hops", "stgcn.persons")
"""Settings of an encoder that do not change its tensors; a checkpoint remembers those that change its features."""
_COMMON = ("contrast.embedding", "optim.batch")
"""Keys of these sections that hold for all arms."""


def of_arm(recipe: Recipe, arm: str) -> Recipe:
    """The recipe with the keys that the arm sets, and without the other arms.

    Raises ValueError or cattrs.BaseValidationError for a key that does not exist or a wrong value; a recipe with such
    keys is refused when it is read.
    """
    tree = tree_of(recipe)
    own = tree["arms"][arm]
    for key, value in own.pop("set").items():
        set_key(tree, key, value)
    tree["arms"] = {arm: own}
    return recipe_of(tree)


def of_stage(recipe: Recipe, stage: Stage) -> Recipe:
    """The recipe with the queue and the warm-up that the stage gives itself."""
    if stage.queue is not None:
        recipe = evolve(recipe, contrast=evolve(recipe.contrast, queue=stage.queue))
    if stage.warmup_steps is not None:
        recipe = evolve(recipe, optim=evolve(recipe.optim, warmup_steps=stage.warmup_steps))
    return recipe


def mistakes_in_set(recipe: Recipe, arm: str) -> list[str]:
    """One line for each mistake in the keys that the arm sets."""
    refused = [reason for key in recipe.arms[arm].set if (reason := _refusal(recipe, key))]
    if refused:
        return refused
    try:
        of_arm(recipe, arm)
    except BaseValidationError as error:
        return mistakes(error)
    except ValueError as error:
        return [str(error)]
    return []


def _refusal(recipe: Recipe, key: str) -> str:
    """The reason why an arm may not set the key; empty if it may."""
    section, _, rest = key.partition(".")
    if section not in _SECTIONS or not rest:
        return (
            f"{key}: an arm can only change how it trains: expected keys of {', '.join(_SECTIONS)}, such as "
            "'contrast.negatives'"
        )
    modality, _, name = rest.partition(".")
    if section == "modalities" and modality not in recipe.modalities:
        return f"{key}: {modality!r} is not in [modalities], which has {', '.join(recipe.modalities)}"
    if section == "modalities" and name not in _OF_A_MODALITY:
        return f"{key}: all arms have the same encoders: expected one of {', '.join(_OF_A_MODALITY)}"
    return f"{key}: is the same for all arms: set it in [{section}]" if key in _COMMON else ""
