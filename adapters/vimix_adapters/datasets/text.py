"""Text files as lines or CSV rows; a mistake in them is a VimixError that names the file and the line."""

import csv
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vimix.values.errors import VimixError

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
"""Control characters, which no name or label contains; ``str.splitlines`` takes some for the end of a line."""


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a UTF-8 text that are not blank: (number from 1, line without spaces around it).

    Raises VimixError if the file is not a regular file or cannot be read as text.
    """
    lines = read_text(path).splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def csv_header(path: Path, aliases: Mapping[str, str] | None = None) -> list[str]:
    """Return the names of the columns of a CSV file; ``aliases`` are other names of columns, in lower case.

    A file that is no CSV has none. Raises VimixError if it cannot be read as text.
    """
    first = read_text(path).splitlines()[:1]
    try:
        return [_column(name, aliases) for name in next(csv.reader(first), [])]
    except csv.Error:
        return []


def csv_rows(
    path: Path, needed: Sequence[str], optional: Sequence[str] = (), aliases: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV file with a header: (number of the line, cell by column); optional cells may be empty.

    Other columns are ignored; ``aliases`` are other names of columns, in lower case. Raises VimixError that names the
    line if a needed cell is empty or a row too long.
    """
    expected = ",".join([*needed, *(f"[{name}]" for name in optional)])
    reader = csv.reader(read_text(path).splitlines(keepends=True), strict=True)
    try:
        header = [_column(name, aliases) for name in next(reader, [])]
        if twice := sorted({name for name in header if name and header.count(name) > 1}):
            raise VimixError(f"{path}, line 1: column {twice[0]} occurs twice")
        if absent := [name for name in needed if name not in header]:
            raise VimixError(f"{path}, line 1: expected the header {expected}; {', '.join(absent)} missing")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = f"{path}, line {reader.line_num}"
            if len(cells) > len(header):
                raise VimixError(f"{line}: {len(cells)} cells under a header of {len(header)}")
            found = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            if empty := [name for name in needed if not found.get(name)]:
                raise VimixError(f"{line}: expected {','.join(needed)}; {', '.join(empty)} missing")
            yield reader.line_num, {name: found.get(name, "") for name in (*needed, *optional)}
    except csv.Error as error:
        raise VimixError(
            f"{path}, line {reader.line_num}: expected CSV with the header {expected} ({error})"
        ) from error


def _column(name: str, aliases: Mapping[str, str] | None) -> str:
    return (aliases or {}).get(name.strip().lower(), name.strip())


def whole_number(text: str) -> int | None:
    """Read up to nine ASCII digits as a number; any other text gives None."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def read_text(path: Path) -> str:
    """Read a UTF-8 text. Raises VimixError that names the line of a byte or character that no text holds."""
    try:
        # Opening a FIFO would wait for a writer.
        if not stat.S_ISREG(path.stat().st_mode):
            raise VimixError(f"{path}: expected a text file, but it is not a regular file")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise VimixError(f"{path}: expected a text file, but it cannot be read ({error})") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise VimixError(
            f"{path}, line {line}: expected UTF-8 text, found the byte {data[error.start]:#04x}"
        ) from error
    if odd := _CONTROL.search(text):
        line = text[: odd.start()].count("\n") + 1
        raise VimixError(f"{path}, line {line}: expected text, found the control character {odd.group()!r}")
    return text
