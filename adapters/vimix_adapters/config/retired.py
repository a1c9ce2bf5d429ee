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


def _cuts(tree: dict[str, Any]) -> list[str]:
    """The keys ``stages`` of all encoders that read this setting."""
    encoders = {name: table.get("encoder", ModalitySettings().encoder) for name, table in tree["modalities"].items()}
    return [
        f"modalities.{name}.stages"
        for name, encoder in encoders.items()
        if encoder in ENCODERS and "stages" in ENCODERS[encoder].settings
    ]
