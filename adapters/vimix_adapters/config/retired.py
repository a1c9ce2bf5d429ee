"""Keys of older recipes, as checkpoints and run folders still hold them.

``data.test_split`` was never read. An arm's ``negatives`` and ``cuts`` are now set as "contrast.negatives" and
"modalities.NAME.stages" in the arm's ``set``.
"""

from collections.abc import Iterator
from typing import Any

from vimix_adapters.config.encoder_settings import ENCODERS, ModalitySettings


def replace_retired_keys(tree: dict[str, Any]) -> list[str]:
    """Replace retired keys of a recipe's tree in place. Returns one sentence for each key that was replaced."""
    try:
        return [*_replaced(tree)]
    except (AttributeError, TypeError, KeyError):  # a table is no table: said when the recipe is structured
        return []


def _replaced(tree: dict[str, Any]) -> Iterator[str]:
    if tree.get("data", {}).pop("test_split", None) is not None:
        yield "data.test_split is no longer used: evaluate.queries names the split that is scored"
    for name, arm in tree.get("arms", {}).items():
        keys = {"negatives": ["contrast.negatives"], "cuts": _cuts(tree)}
        for retired, current in keys.items():
            if retired in arm:
                value = arm.pop(retired)
                arm["set"] = {**dict.fromkeys(current, value), **arm.get("set", {})}
                now = ", ".join(f'"{key}" = "{value}"' for key in current)
                yield f"arms.{name}.{retired} is now written set = {{ {now} }}"


def _cuts(tree: dict[str, Any]) -> list[str]:
    """Keys of the stages of all encoders that can be cut in two ways."""
    default = ModalitySettings().encoder
    encoders = {name: ENCODERS[settings.get("encoder", default)] for name, settings in tree["modalities"].items()}
    return [f"modalities.{name}.stages" for name, entry in encoders.items() if "stages" in entry.settings]
