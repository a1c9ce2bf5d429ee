"""attrs classes from plain data (TOML or JSON); every mistake is reported with its key."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeGuard, TypeVar, get_args, get_origin

from attrs import fields, has, resolve_types
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, transform_error
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn, override

from vimix.values.errors import VimixError

Hook = Callable[[Any, Any], Any]
Factory = Callable[[Any, Converter], Hook]
Kind = TypeVar("Kind")

LARGEST = 1e300
"""Numbers beyond this count as not finite."""
LARGEST_WHOLE = 2**63 - 1
"""Largest whole number that a recipe or record may hold, as in TOML; libraries count in 64 bits."""
SHOWN = 3
"""Most mistakes of a file that a message names."""


class WrongValueError(ValueError):
    """A value of the wrong type; the message says what was expected."""


def strict_converter(table: str = "a table", forbid_extra_keys: bool = True) -> Converter:
    """A cattrs converter that takes values as they are: 3 is no text, "3" no number, true no whole number.

    Each field's validator runs by itself, so that all bad values are found at once. ``table`` is the word for keys with
    values in messages. Without ``forbid_extra_keys`` unknown keys are left out.
    """
    converter = Converter(forbid_extra_keys=forbid_extra_keys, detailed_validation=True)
    for kind, expected in ((int, "a whole number"), (bool, "true or false"), (str, "a text")):
        converter.register_structure_hook(kind, _exactly(kind, expected))
    converter.register_structure_hook(float, _finite)
    converter.register_structure_hook_func(_is_a(Literal), _choice)
    converter.register_structure_hook_factory(has, _only(dict, table, _class_hook))
    converter.register_structure_hook_factory(_is_a(Mapping), _only(dict, table, make_mapping_structure_fn))
    converter.register_structure_hook_factory(_is_a(Sequence), _only(list, "a list", list_structure_factory))
    converter.register_structure_hook_factory(_is_a(tuple), _only(list, "a list", _tuple_hook))
    return converter


def mistakes(error: BaseValidationError | WrongValueError) -> list[str]:
    """One line "key: message" for each mistake that a structuring found, such as "optim.lr: must be > 0: -1.0"."""
    lines = []
    for line in transform_error(error, "", _message):
        message, _, place = line.rpartition(" @ ")
        key = re.sub(r"\['?(.*?)'?\]", r".\1", place)
        lines += [f"{key}{part}".removeprefix(".") for part in message.split("\n")]
    return lines


def structured(content: object, kind: type[Kind], file: Path, expected: str) -> Kind:
    """An attrs class from the plain data of a JSON file that vimix wrote; unknown keys are left out.

    Raises VimixError naming the file, what was ``expected`` in it and where it differs.
    """
    try:
        return _lenient().structure(content, kind)
    except (BaseValidationError, WrongValueError) as error:
        lines = mistakes(error)
        more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise VimixError(f"{file}: expected {expected}, but found {'; '.join(lines[:SHOWN])}{more}") from error


@cache
def _lenient() -> Converter:
    return strict_converter(table="an object", forbid_extra_keys=False)


def nearest(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the most similar of the known names; empty if none is similar."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested tables by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def one_of(known: Mapping[str, object]) -> Callable[[Any, Any, str], None]:
    """A validator of names: raises ValueError for one that the registry ``known`` lacks when it is called."""

    def validate(_: Any, attribute: Any, name: str) -> None:
        if name not in known:
            choices = ", ".join(map(repr, known))
            raise ValueError(f"'{attribute.name}' expected one of {choices}, got {name!r}{nearest(name, known)}")

    return validate


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether TOML and JSON have the value as a number; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(number: float) -> bool:
    """Whether a float can hold the number; a whole number in a file may be too large for that."""
    return abs(number) < LARGEST


def _message(error: BaseException, _: type | None) -> str:
    """The message that follows the key of a mistake; each unknown key is a line, which begins with that key."""
    if isinstance(error, ForbiddenExtraKeysError):
        names = [attribute.name for attribute in fields(error.cl)]
        return "\n".join(
            f".{extra}: unknown key{nearest(extra, names)}; known here: {', '.join(names)}"
            for extra in sorted(error.extra_fields)
        )
    if isinstance(error, KeyError):
        return ": missing"
    text = str(error)
    # Validators of attrs begin with the quoted name of the attribute, which the key repeats.
    return f": {text.partition(' ')[2] if text.startswith(chr(39)) else text}"


def _exactly(kind: type, expected: str) -> Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise WrongValueError(f"expected {expected}, got {_shown(value)}")
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise WrongValueError(f"expected a whole number of at most {LARGEST_WHOLE}, got one beyond")
        return value

    return hook


def _finite(value: Any, _: Any) -> float:
    if not is_number(value):
        raise WrongValueError(f"expected a number, got {_shown(value)}")
    if not is_finite(value):  # TOML has nan and inf, and nan passes every bound
        raise WrongValueError(f"expected a finite number, got {_shown(value)}")
    return float(value)


def _choice(value: Any, literal: Any) -> Any:
    allowed = get_args(literal)
    if value not in allowed or type(value) is not str:
        choices = ", ".join(map(repr, allowed))
        raise WrongValueError(f"expected one of {choices}, got {_shown(value)}{nearest(str(value), allowed)}")
    return value


def _only(given: type, expected: str, factory: Factory) -> Factory:
    """The factory's hooks, for values of one type."""

    def checked(kind: Any, converter: Converter) -> Hook:
        structure = factory(kind, converter)

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, given):
                raise WrongValueError(f"expected {expected}, got {_shown(value)}")
            return structure(value, kind)

        return hook

    return checked


def _class_hook(cls: Any, converter: Converter) -> Hook:
    resolve_types(cls)

    def checked(attribute: Any) -> Hook:
        def hook(value: Any, kind: Any) -> Any:
            structured = converter.structure(value, kind)
            if attribute.validator is not None:
                attribute.validator(None, attribute, structured)
            return structured

        return hook

    hooks: dict[str, Any] = {a.name: override(struct_hook=checked(a)) for a in fields(cls)}
    structure: Hook = make_dict_structure_fn(cls, converter, **hooks)
    return structure


def _tuple_hook(kind: Any, converter: Converter) -> Hook:
    items: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type that is known at run time only
    structure = list_structure_factory(items, converter)
    return lambda value, _: tuple(structure(value, items))


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        return f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _is_a(generic: Any) -> Callable[[Any], bool]:
    def predicate(kind: Any) -> bool:
        return get_origin(kind) is generic

    return predicate
