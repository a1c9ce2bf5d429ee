"""A recipe as a tree of plain values, as TOML has it: dotted keys are set in it, and it becomes a ``Recipe``."""

from collections.abc import Mapping
from typing import Any

from vimix_adapters.config.recipe_stages import CmmcStage, JointStage, PretrainStage, Stage
from vimix_adapters.config.schema import Recipe
from vimix_adapters.structuring import WrongValueError, strict_converter


def recipe_of(tree: dict[str, Any]) -> Recipe:
    """The recipe; raises cattrs.BaseValidationError with every mistake."""
    return _CONVERTER.structure(tree, Recipe)


def tree_of(recipe: Recipe) -> dict[str, Any]:
    """All keys of the recipe with their values; keys without a value are left out."""
    tree: dict[str, Any] = _without_none(_CONVERTER.unstructure(recipe))
    return tree


def set_key(tree: dict[str, Any], key: str, value: object) -> None:
    """Set the value at a dotted key, such as "arms.vimix.stages.0.epochs"; missing tables are added.

    Raises ValueError if the key leads through a value that is no table, or beyond the end of a list.
    """
    place: Any = tree
    *parents, last = key.split(".")
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (IndexError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{key}: there is no such place in the recipe") from error


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(inner) for inner in value]
    return value


def _stage(value: Any, _: Any) -> Stage:
    kinds = [kind for key, kind in _STAGES.items() if isinstance(value, dict) and key in value]
    if len(kinds) != 1:
        raise WrongValueError(f"expected a table with one of pretrain =, cmmc = and joint =, got {value!r}")
    stage: Stage = _CONVERTER.structure(value, kinds[0])
    return stage


_STAGES: Mapping[str, type[Stage]] = {"pretrain": PretrainStage, "cmmc": CmmcStage, "joint": JointStage}
"""Kinds of stages by the key that names what they train."""


_CONVERTER = strict_converter()
_CONVERTER.register_structure_hook_func(lambda kind: kind == Stage, _stage)
