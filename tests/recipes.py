"""The project's recipes for tests: all of them, and made small."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SMALL = {
    "data": {"frames": 8, "size": 32, "stride": 1, "workers": 0},
    "optim": {"batch": 4},
    "contrast": {"queue": 8, "bn_groups": 2},
    "finetune": {"epochs": 1, "milestones": []},
    "run": {"precision": "float32", "log_every": 1},
}


def of_skeletons(path: Path) -> bool:
    """Whether the recipe trains ST-GCN."""
    modalities = tomllib.loads(path.read_text(encoding="utf-8"))["modalities"].values()
    return any(modality.get("encoder") == "stgcn" for modality in modalities)


def all_recipes() -> list[Any]:
    """Every recipe of ``experiments/`` as a parameter of a test."""
    return [pytest.param(path, id=path.stem) for path in sorted((ROOT / "experiments").glob("*.toml"))]


def shrunk(recipe: Path) -> dict[str, Any]:
    """The recipe as a table, with the same arms and names of stages, small enough for a test."""
    table = tomllib.loads(recipe.read_text(encoding="utf-8"))
    for section, keys in SMALL.items():
        table.setdefault(section, {}).update(keys)
    for modality in table["modalities"].values():
        if modality.get("encoder") == "stgcn":
            modality["stgcn"] = {"hidden_channels": 2, "feature_size": 4, "dropout": 0.0}
        else:
            modality["width"] = 0.0625
    for stages in [arm["stages"] for arm in table["arms"].values()]:
        for stage in stages:
            stage.update(epochs=1, milestones=[])
    return table


def on_store(table: dict[str, Any], store: Path) -> dict[str, Any]:
    """The recipe on a store with the splits train and test, for training and for every evaluation."""
    splits = {"gallery": "train", "queries": "test"}
    table["data"].update(store=str(store), train_split="train")
    evaluate = table.setdefault("evaluate", {})
    evaluate.update(splits, stores={name: {"store": str(store), **splits} for name in evaluate.get("stores", {})})
    return table
