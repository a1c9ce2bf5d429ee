"""JSON that vimix wrote, read back; what was changed in it since is refused with its place in the file."""

from pathlib import Path
from typing import TypeVar

from cattrs import BaseValidationError

from vimix.values.errors import VimixError
from vimix_adapters.structuring import WrongValueError, mistakes, strict_converter

Kind = TypeVar("Kind")

SHOWN = 3
"""Most mistakes that a message names."""

_CONVERTER = strict_converter(table="an object", forbid_extra_keys=False)


def structured(content: object, kind: type[Kind], file: Path, expected: str) -> Kind:
    """An attrs class from plain data; unknown keys are left out.

    Raises VimixError naming the file, what was ``expected`` in it and where it differs.
    """
    try:
        return _CONVERTER.structure(content, kind)
    except (BaseValidationError, WrongValueError) as error:
        lines = mistakes(error)
        more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise VimixError(f"{file}: expected {expected}, but found {'; '.join(lines[:SHOWN])}{more}") from error
