"""Reading text files that people and earlier calls wrote; a damaged file gives an error of one line that names it.

Text is read from regular files of limited size. TOML and JSON are parsed so that no content of a file raises an error
of a library. The VimixError of each function says what was expected.
"""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

from vimix.values.errors import VimixError

MOST_TEXT = 2**30
"""Largest text in bytes: the metrics of a training of ten million rows."""
MOST_RECIPE = 2**20
"""Largest recipe in bytes."""


def read_text(path: Path, expected: str, most: int = MOST_TEXT) -> str:
    """The text of a UTF-8 file.

    Raises VimixError naming the file and what was ``expected`` if it is missing, no regular file (a FIFO would wait for
    a writer, a device may never end), larger than ``most`` bytes or not UTF-8.
    """
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise VimixError(f"{path}: expected {expected}, but it is {kind}")
        if state.st_size > most:
            raise VimixError(f"{path}: expected {expected}, but it has {state.st_size:,} bytes, more than {most:,}")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise VimixError(f"{path}: expected {expected}, but it cannot be read ({reason_of(error)})") from error


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises VimixError naming its ``origin``."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError too
        raise VimixError(f"{origin}: not valid TOML: {reason_of(error)}") from error


def parse_json(text: str | bytes, origin: str, expected: str) -> Any:
    """The value of a JSON text. Raises VimixError naming its ``origin``."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VimixError(f"{origin}: expected {expected}, but it cannot be read ({reason_of(error)})") from error


def read_json(path: Path, expected: str) -> Any:
    """The value of a JSON file. Raises VimixError as ``read_text`` and ``parse_json`` do."""
    return parse_json(read_text(path, expected), str(path), expected)


def read_json_lines(path: Path, expected: str) -> list[Any]:
    """The values of a file with one JSON value per line; an incomplete last line, which a crash may leave, is left out.

    A line that is no JSON gives None, which is no row of anything. Raises VimixError as ``read_text`` does.
    """
    lines = read_text(path, expected).splitlines()
    values = []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            if number < len(lines):
                values.append(None)
    return values


def reason_of(error: BaseException) -> str:
    """The reason of an error in a few words, for the brackets of a message."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnicodeDecodeError):
        return f"expected UTF-8, found the byte {error.object[error.start]:#04x}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
