"""CSV tables that a spreadsheet opens without taking a cell for a formula."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vimix_adapters.files import replacing

_FORMULA = re.compile(r"['=+\-@\t\r]")
"""Beginning of a formula in a spreadsheet, or of a text that begins with an apostrophe."""


def write_csv(path: Path, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table in UTF-8 with one line of headings, atomically; texts are written by ``csv_cell``."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headings)
        for row in rows:
            writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in row])


def csv_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: an apostrophe goes before ``= + - @`` and others."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_csv_cell(cell: str) -> str:
    """Return the text of a cell that ``csv_cell`` made."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell
