"""The documentation's reference of recipe keys has every key that a recipe may hold."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vimix_adapters.config import read_recipe, recipe_to_toml

ROOT = Path(__file__).parents[2]
STAGES = ("Keys of every stage", "A stage of pretraining", "A stage of CMMC", "A stage that trains several modalities")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> dict[str, dict[str, str]]:
    """The default of each key by heading and key."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from recipe_keys import write_recipe_keys
    finally:
        sys.path.pop(0)
    page = tmp_path_factory.mktemp("page") / "recipe-keys.md"
    write_recipe_keys(page)
    sections = page.read_text(encoding="utf-8").split("\n## ")[1:]
    cells = r"^\| `(\w+)` \| .+? \| (.*?) \| .+ \|$"
    return {s.splitlines()[0].strip("`"): dict(re.findall(cells, s, re.MULTILINE)) for s in sections}


def tables(tree: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Headings of the page, and the tables of a recipe that belong there."""
    yield f"[{name}]" if name else "The recipe", {k: v for k, v in tree.items() if name or not isinstance(v, dict)}
    for key, value in tree.items():
        place = f"{name}.{key}".removeprefix(".")
        if place in ("modalities", "evaluate.stores"):
            for inner in value.values():
                yield from tables(inner, f"{place}.NAME")
        elif isinstance(value, dict) and place not in ("arms", "finetune.augment"):
            yield from tables(value, place)


@pytest.mark.parametrize("name", ["table1", "table2", "table5-xsub", "positives-xview", "demo"])
def test_every_key_of_the_filled_recipes_has_a_row_in_its_table(rows, name) -> None:
    tree = tomllib.loads(recipe_to_toml(read_recipe(ROOT / f"experiments/{name}.toml", [])))
    for heading, table in tables(tree):
        assert set(table) <= set(rows[heading]), heading
    for arm in tree["arms"].values():
        assert set(arm) <= set(rows["[arms.NAME]"])
        for stage in arm["stages"]:
            assert set(stage) <= {key for heading in STAGES for key in rows[heading]}
            assert set(stage.get("positives", {})) <= set(rows["positives` of a stage"])


def test_the_defaults_are_written_as_in_toml(rows) -> None:
    assert rows["[contrast]"]["mask_siblings"] == "`true`"
    assert rows["[data]"]["store"] == "must be given"
    assert rows["[pretrain]"]["milestones"] == "`[250, 280]`"
    assert rows["[optim]"]["lr"] == "`0.001`"
    assert rows["[modalities.NAME]"]["lr"] == "None"
