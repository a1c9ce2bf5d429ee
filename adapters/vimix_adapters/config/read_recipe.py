"""From TOML to a recipe and back; every mistake in a file is reported, each with its key and the way out."""

import difflib
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tomli_w
from attrs import fields, has, resolve_types
from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from vimix.values.errors import VimixError
from vimix_adapters.config.checks import contradictions
from vimix_adapters.config.schema import CmmcStage, PretrainStage, Recipe, Stage


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
    mistakes = [mistake for override in overrides if (mistake := _apply(tree, override))]
    recipe = None
    try:
        recipe = _CONVERTER.structure(tree, Recipe)
    except ClassValidationError as error:
        mistakes += _listed(error, "", Recipe)
    if recipe is not None:
        mistakes += contradictions(recipe)
    if mistakes or recipe is None:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise VimixError(f"{origin}: {len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the recipe{lines}")
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


class _Wrong(ValueError):
    """A value of the wrong kind; the message says what was expected."""


def _exactly(kind: type, name: str) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise _Wrong(f"expected {name}, got {value!r}")
        return value

    return check


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise _Wrong(f"expected a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):  # TOML has nan and inf, and nan passes every bound
        raise _Wrong(f"expected a finite number, got {value!r}")
    return number


def _choice(value: Any, literal: Any) -> Any:
    allowed = get_args(literal)
    if value not in allowed or type(value) is not str:
        raise _Wrong(f"expected one of {', '.join(map(repr, allowed))}, got {value!r}{_nearest(str(value), allowed)}")
    return value


def _stage(value: Any, _: Any) -> Stage:
    if not isinstance(value, dict) or ("pretrain" in value) == ("cmmc" in value):
        raise _Wrong(f"expected a table with either pretrain = or cmmc =, got {value!r}")
    kind: type[Stage] = PretrainStage if "pretrain" in value else CmmcStage
    stage: Stage = _CONVERTER.structure(value, kind)
    return stage


def _class_hook(cls: type) -> Any:
    """Structure an attrs class, running each field's validator by itself so that every bad value is found."""
    resolve_types(cls)

    def checked(attribute: Any) -> Any:
        def hook(value: Any, kind: Any) -> Any:
            structured = _CONVERTER.structure(value, kind)
            if attribute.validator is not None:
                attribute.validator(None, attribute, structured)
            return structured

        return hook

    hooks: dict[str, Any] = {a.name: override(struct_hook=checked(a)) for a in fields(cls)}
    structure: Any = make_dict_structure_fn(cls, _CONVERTER, _cattrs_forbid_extra_keys=True, **hooks)

    def table(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise _Wrong(f"expected a table, got {value!r}")
        return structure(value, kind)

    return table


def _list(value: Any, kind: Any) -> Any:
    if not isinstance(value, list):
        raise _Wrong(f"expected a list, got {value!r}")
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type that is known at run time only
    return _CONVERTER.structure(value, items)


def _build_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, name in ((int, "a whole number"), (bool, "true or false"), (str, "a text")):
        converter.register_structure_hook(kind, _exactly(kind, name))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(lambda t: _origin(t) is Literal, _choice)
    converter.register_structure_hook_func(lambda t: t == Stage, _stage)
    converter.register_structure_hook_factory(has, _class_hook)
    converter.register_structure_hook_func(lambda t: _origin(t) is tuple, lambda v, t: tuple(_list(v, t)))
    return converter


def _origin(kind: Any) -> Any:
    return get_origin(kind)


_CONVERTER = _build_converter()


def _listed(error: BaseException, key: str, cls: Any) -> list[str]:
    """Every leaf of a tree of exceptions as a line."""
    if isinstance(error, ClassValidationError):
        return [line for inner in error.exceptions for line in _listed(inner, _inner_key(inner, key), error.cl)]
    if isinstance(error, IterableValidationError):
        return [line for inner in error.exceptions for line in _listed(inner, _inner_key(inner, key), cls)]
    if isinstance(error, ForbiddenExtraKeysError):
        names = [attribute.name for attribute in fields(error.cl)]
        return [
            f"{_joined(key, extra)}: unknown key{_nearest(extra, names)}; known here: {', '.join(names)}"
            for extra in sorted(error.extra_fields)
        ]
    if isinstance(error, KeyError):
        return [f"{key}: missing"]
    text = str(error)
    # attrs' validators begin with the quoted name of the attribute, which the key has told already.
    return [f"{key}: {text.partition(' ')[2] if text.startswith(chr(39)) else text}"]


def _inner_key(error: BaseException, key: str) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return _joined(key, note.name)
        if isinstance(note, IterableValidationNote):
            return _joined(key, str(note.index))
    return key


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
