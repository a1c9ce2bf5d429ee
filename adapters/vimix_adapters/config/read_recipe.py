"""Reading recipes from TOML and writing them; every mistake in a file is reported with its key.

Checkpoints and run folders hold recipes with keys that have been retired. ``data.test_split`` was never read. An arm's
``negatives`` and ``cuts`` are now set as "contrast.negatives" and "modalities.NAME.stages" in the arm's ``set``.
They hold all keys of their time. Until version 0.2.0 there was no ``stages``: S3D was cut after its modules.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from cattrs import BaseValidationError

from vimix.values.errors import VimixError
from vimix_adapters.config.checks import contradictions
from vimix_adapters.config.encoder_settings import ENCODERS, ModalitySettings
from vimix_adapters.config.schema import Recipe
from vimix_adapters.config.tree import recipe_of, set_key, tree_of
from vimix_adapters.reading import MOST_RECIPE, parse_toml, read_text
from vimix_adapters.structuring import mistakes

log = logging.getLogger(__name__)  # the standard library's: reading a recipe must be fast


def read_recipe(path: Path, overrides: Sequence[str] = (), recorded: bool = False) -> Recipe:
    """The recipe in ``path`` with ``KEY=VALUE`` overrides applied. Raises VimixError listing every mistake.

    A ``recorded`` recipe is that of a run: a key that it lacks is younger than the run.
    """
    tree = parse_toml(read_text(path, "a recipe in TOML", MOST_RECIPE), str(path))
    if recorded:
        _cut_after_modules(tree)
    wrong = [mistake for override in overrides if (mistake := _override(tree, override))]
    for note in _replace_retired_keys(tree):
        log.warning("%s: %s", path, note)
    return _checked(tree, str(path), wrong)


def recipe_from_toml(text: str, origin: str, recorded: bool = False) -> Recipe:
    """The recipe in a TOML text; ``origin`` names it in messages. Raises VimixError listing every mistake.

    Settings of a ``recorded`` recipe may contradict each other: a checkpoint was trained as its recipe says, whatever
    is refused today. A key that it lacks is younger than the checkpoint.
    """
    tree = parse_toml(text, origin)
    if recorded:
        _cut_after_modules(tree)
    _replace_retired_keys(tree)
    return _checked(tree, origin, [], check=not recorded)


def recipe_to_toml(recipe: Recipe) -> str:
    """All keys with their values; reading the text gives an equal recipe."""
    return tomli_w.dumps(tree_of(recipe))


def _checked(tree: dict[str, Any], origin: str, wrong: Sequence[str], check: bool = True) -> Recipe:
    found, recipe = [*wrong], None
    try:
        recipe = recipe_of(tree)
    except BaseValidationError as error:
        found += mistakes(error)
    if recipe is not None and check:
        found += contradictions(recipe)
    if found or recipe is None:
        lines = "".join(f"\n  {mistake}" for mistake in found)
        raise VimixError(f"{origin}: {len(found)} mistake{'s' * (len(found) > 1)} in the recipe{lines}")
    return recipe


def _override(tree: dict[str, Any], override: str) -> str | None:
    """Apply ``a.b.c=value`` to the tree; returns the mistake, if there is one."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return f"--set {override}: expected KEY=VALUE, such as optim.lr=3e-4"
    try:
        set_key(tree, key.strip(), _value(text.strip()))
    except ValueError as error:
        return f"--set {error}"
    return None


def _value(text: str) -> Any:
    """A TOML value; text without quotes stands for itself, because a shell takes quotes away."""
    try:
        return parse_toml(f"value = {text}", text)["value"]
    except VimixError:
        return text


def _replace_retired_keys(tree: dict[str, Any]) -> list[str]:
    """Replace retired keys of a recipe's tree in place. Returns one sentence for each key that was replaced."""
    try:
        return [*_replaced(tree)]
    except (AttributeError, TypeError, KeyError):  # a value is no table: structuring the recipe reports it
        return []


def _replaced(tree: dict[str, Any]) -> Iterator[str]:
    if tree.get("data", {}).pop("test_split", None) is not None:
        yield "data.test_split is no longer used: evaluate.queries names the split that is scored"
    for name, arm in tree.get("arms", {}).items():
        for retired in ("negatives", "cuts"):
            if retired in arm:
                value, current = arm.pop(retired), ["contrast.negatives"] if retired == "negatives" else _cuts(tree)
                arm["set"] = {**dict.fromkeys(current, value), **arm.get("set", {})}
                now = ", ".join(f'"{key}" = "{value}"' for key in current)
                yield f"arms.{name}.{retired} is now written set = {{ {now} }}"


def _cut_after_modules(tree: dict[str, Any]) -> None:
    """Complete a recorded recipe that has no ``stages``: its S3D had 16."""
    try:
        for key in _cuts(tree):
            tree["modalities"][key.split(".")[1]].setdefault("stages", "modules")
    except (AttributeError, TypeError, KeyError):  # a value is no table: structuring the recipe reports it
        return


def _cuts(tree: dict[str, Any]) -> list[str]:
    """The keys ``stages`` of all encoders that read this setting."""
    encoders = {name: table.get("encoder", ModalitySettings().encoder) for name, table in tree["modalities"].items()}
    return [
        f"modalities.{name}.stages"
        for name, encoder in encoders.items()
        if encoder in ENCODERS and "stages" in ENCODERS[encoder].settings
    ]
