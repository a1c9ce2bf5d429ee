"""Writes ``recipe-keys.md``, the reference of all keys of a recipe, from the classes that read a recipe."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from attrs import NOTHING, Attribute, Factory, fields, fields_dict, has, resolve_types

from vimix_adapters.config import recipe_stages as stages
from vimix_adapters.config import schema
from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings
from vimix_adapters.config.encoder_settings import ModalitySettings, Stgcn

HEAD = """# Recipe keys

All keys of a recipe with their defaults; [Training](training.md) shows how a recipe is written. `--set` changes each of
them for one call: `lr` in `[optim]` is `--set optim.lr=3e-4`. "None" means that a key is left out. Sections are those
of [the method](method.md).
"""
TABLES: Mapping[str, type[Any]] = {
    "": schema.Recipe,
    "[data]": schema.Data,
    "[modalities.NAME]": ModalitySettings,
    "[modalities.NAME.stgcn]": Stgcn,
    "[augment]": AugmentSettings,
    "[augment_skeleton]": SkeletonAugmentSettings,
    "[contrast]": schema.Contrast,
    "[optim]": schema.Optim,
    "[pretrain]": stages.Pretrain,
    "[pretrain.mix]": stages.InputMix,
    "[cmmc]": stages.Cmmc,
    "[cmmc.mix]": stages.HiddenMix,
    "[arms.NAME]": stages.Arm,
    "Keys of every stage": stages.StageKeys,
    "A stage of pretraining": stages.PretrainStage,
    "A stage of CMMC": stages.CmmcStage,
    "A stage that trains several modalities": stages.JointStage,
    "`positives` of a stage": stages.FindPositives,
    "[finetune]": schema.Finetune,
    "[evaluate]": schema.Evaluate,
    "[evaluate.stores.NAME]": schema.EvaluationStore,
    "[run]": schema.Run,
}
"""The class that reads each table of a recipe, by the heading of the table."""
NAMES = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}


def write_recipe_keys(file: Path) -> None:
    """Write the page to ``file``. Raises ValueError for a key without docstring."""
    file.write_text("\n".join([HEAD, *(_section(title, kind) for title, kind in TABLES.items())]), encoding="utf-8")


def _section(title: str, kind: type[Any]) -> str:
    """The heading, what the table is for, and a row for each key."""
    about = (inspect.getdoc(kind) or "").partition("Raises ")[0].removeprefix(f"{title}: ").replace("``", "`").strip()
    heading = f"## `{title}`" if title.startswith("[") else f"## {title or 'The recipe'}"
    rows = [_row(kind, key) for key in shown(kind)]
    columns = ["| key | values | default | meaning |", "|---|---|---|---|"]
    return "\n".join([heading, "", about[:1].upper() + about[1:], "", *columns, *rows, ""])


def shown(kind: type[Any]) -> list["Attribute[Any]"]:
    """The keys of a table. Tables of the recipe are left out, and in each kind of stage the keys of every stage."""
    hidden = (
        set(fields_dict(stages.StageKeys))
        if kind is not stages.StageKeys and issubclass(kind, stages.StageKeys)
        else set()
    )
    if kind is schema.Recipe:
        hidden = {key.name for key in fields(resolve_types(kind)) if any(map(has, parts(key.type)))}
    return [key for key in fields(resolve_types(kind)) if key.name not in hidden]


def parts(kind: Any) -> Iterator[Any]:
    """The classes that an annotation consists of."""
    if get_args(kind) and get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from parts(part)
    else:
        yield kind


def _row(kind: type[Any], key: "Attribute[Any]") -> str:
    meaning = docstrings(kind).get(key.name)
    if meaning is None:
        raise ValueError(f"{kind.__name__}.{key.name} has no docstring, which the reference of recipe keys needs")
    return f"| `{key.name}` | {_values(key.type)} | {_default(key)} | {' '.join(meaning.split()).replace('``', '`')} |"


def docstrings(kind: type[Any]) -> dict[str, str]:
    """The docstrings of the attributes of a class and of those that it inherits from."""
    found = docstrings(kind.__base__) if kind.__base__ not in (None, object) else {}
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    for line, after in pairwise(body):
        if isinstance(line, ast.AnnAssign) and isinstance(after, ast.Expr):
            found[ast.unparse(line.target)] = ast.literal_eval(after.value)
    return found


def _values(kind: Any) -> str:
    """The values that a key may have, in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    given = [part for part in get_args(kind) if part not in (NoneType, ...)]
    if get_origin(kind) is tuple:
        return f"list of {_values(given[0])}s"
    if has(kind) or get_origin(kind) is Mapping or any(map(has, given)):
        return "table"
    return _values(given[0]) if given else NAMES[kind]


def _default(key: "Attribute[Any]") -> str:
    """The default as TOML writes it."""
    value: Any = key.default
    if value is NOTHING:
        return "must be given"
    if isinstance(value, Factory):  # type: ignore[arg-type]  # attrs types Factory as a function
        value = {} if value.takes_self else value.factory()
    if value is None:
        return "None"
    if isinstance(value, Mapping) or has(type(value)):
        return ""
    plain = list(value) if isinstance(value, tuple) else value
    return f"`{str(plain).lower() if isinstance(plain, bool) else repr(plain).replace(chr(39), chr(34))}`"
