"""From TOML to a recipe and back; every mistake in a file is reported, each with its key and the way out."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from cattrs import BaseValidationError

from vimix.values.errors import VimixError
from vimix_adapters.config.checks import contradictions
from vimix_adapters.config.schema import CmmcStage, PretrainStage, Recipe, Stage
from vimix_adapters.structuring import WrongValueError, mistakes, strict_converter


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in ``path`` with ``KEY=VALUE`` overrides applied. Raises VimixError listing every mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VimixError(f"{path}: expected a recipe in TOML, but it cannot be read ({error})") from error
    return _structured(_parsed(text, str(path)), overrides, str(path))


def recipe_from_toml(text: str, origin: str) -> Recipe:
    """The recipe in a TOML text; ``origin`` names it in messages. Raises VimixError listing every mistake."""
    return _structured(_parsed(text, origin), (), origin)


def recipe_to_toml(recipe: Recipe) -> str:
    """All keys, resolved, such that reading the text gives an equal recipe."""
    return tomli_w.dumps(_without_none(_CONVERTER.unstructure(recipe)))


def _parsed(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; a number of thousands of digits raises another
        raise VimixError(f"{origin}: not valid TOML: {error}") from error


def _structured(tree: dict[str, Any], overrides: Sequence[str], origin: str) -> Recipe:
    found = [mistake for override in overrides if (mistake := _apply(tree, override))]
    recipe = None
    try:
        recipe = _CONVERTER.structure(tree, Recipe)
    except BaseValidationError as error:
        found += mistakes(error)
    if recipe is not None:
        found += contradictions(recipe)
    if found or recipe is None:
        lines = "".join(f"\n  {mistake}" for mistake in found)
        raise VimixError(f"{origin}: {len(found)} mistake{'s' * (len(found) > 1)} in the recipe{lines}")
    return recipe


def _apply(tree: dict[str, Any], override: str) -> str | None:
    """Set ``a.b.c=value`` in the tree; the mistake, if there is one."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return f"--set {override}: expected KEY=VALUE, such as optim.lr=3e-4"
    place: Any = tree
    *parents, last = key.strip().split(".")
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = _value(text.strip())
    except (IndexError, ValueError, AttributeError, TypeError):
        return f"--set {override}: there is no such place in the recipe"
    return None


def _value(text: str) -> Any:
    """A TOML value, or the text itself: quotes are a nuisance in a shell."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(inner) for inner in value]
    return value


def _stage(value: Any, _: Any) -> Stage:
    if not isinstance(value, dict) or ("pretrain" in value) == ("cmmc" in value):
        raise WrongValueError(f"expected a table with either pretrain = or cmmc =, got {value!r}")
    kind: type[Stage] = PretrainStage if "pretrain" in value else CmmcStage
    stage: Stage = _CONVERTER.structure(value, kind)
    return stage


_CONVERTER = strict_converter()
_CONVERTER.register_structure_hook_func(lambda kind: kind == Stage, _stage)
