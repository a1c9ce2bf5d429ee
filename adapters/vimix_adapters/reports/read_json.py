"""JSON that ``vimix`` wrote, read back: what somebody has changed since is told with its place in the file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, get_origin

from attrs import has
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn

from vimix.values.errors import VimixError

Kind = TypeVar("Kind")
Hook = Callable[[Any, Any], Any]

LARGEST = 1e300
"""Of a score or a metric; more counts as not finite."""
TOLD = 3
"""Mistakes that a message names at most."""


def structured(content: object, kind: type[Kind], file: Path, expected: str) -> Kind:
    """An attrs class from plain data; keys that it does not know are left out.

    Raises VimixError naming the file, what was ``expected`` in it and where it is not so.
    """
    try:
        return _CONVERTER.structure(content, kind)
    except (BaseValidationError, _Wrong) as error:
        lines = [_placed(line) for line in transform_error(error, "", _told)]
        more = f"; and {len(lines) - TOLD} more" if len(lines) > TOLD else ""
        raise VimixError(f"{file}: expected {expected}, but {'; '.join(lines[:TOLD])}{more}") from error


class _Wrong(ValueError):
    """A value of another type."""


def _told(error: BaseException, kind: type | None) -> str:
    del kind
    return "is missing" if isinstance(error, KeyError) else str(error)


def _placed(line: str) -> str:
    message, _, place = line.rpartition(" @ ")
    return f"{place.removeprefix('.') or 'it'} {message}"


def _checked(right: Callable[[Any], bool], name: str, structure: Hook = lambda value, kind: kind(value)) -> Hook:
    def hook(value: Any, kind: Any) -> Any:
        if not right(value):
            raise _Wrong(f"is {str(value)[:40]!r}, not {name}")
        return structure(value, kind)

    return hook


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether JSON has it as a number: truth values are none, whatever Python says."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(number: float) -> bool:
    """Whether a float can hold it: a whole number in JSON may be too large for that."""
    return abs(number) < LARGEST


def _is_finite_number(value: object) -> bool:
    return is_number(value) and is_finite(value)


def _only(given: type, name: str, build: Callable[[Any, Converter], Hook]) -> Callable[[Any, Converter], Hook]:
    """What ``build`` makes of a value, which must be ``given`` by JSON."""

    def factory(kind: Any, converter: Converter) -> Hook:
        return _checked(lambda value: isinstance(value, given), name, build(kind, converter))

    return factory


def _build_converter() -> Converter:
    converter = Converter(detailed_validation=True)
    converter.register_structure_hook(str, _checked(lambda value: isinstance(value, str), "a text"))
    converter.register_structure_hook(int, _checked(_is_whole, "a whole number"))
    converter.register_structure_hook(float, _checked(_is_finite_number, "a finite number"))
    converter.register_structure_hook_factory(has, _only(dict, "an object", make_dict_structure_fn))
    converter.register_structure_hook_factory(_is_a(Mapping), _only(dict, "an object", make_mapping_structure_fn))
    converter.register_structure_hook_factory(_is_a(Sequence), _only(list, "a list", list_structure_factory))
    return converter


def _is_a(generic: Any) -> Callable[[Any], bool]:
    def predicate(kind: Any) -> bool:
        return get_origin(kind) is generic

    return predicate


_CONVERTER = _build_converter()
