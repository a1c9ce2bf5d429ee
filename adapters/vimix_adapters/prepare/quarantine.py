"""The list of the files that a store lacks, ``STORE.quarantine.csv``: path, reason, and whether to try again."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.csv_tables import from_csv_cell, write_csv
from vimix_adapters.files import sweep
from vimix_adapters.reading import read_text


@frozen
class LeftOut:
    """A file that is not in the store, and why."""

    name: str
    reason: str
    passing: bool = False
    """Whether the cause is not the file's own (a disk that is gone, permissions, memory): the next call tries again."""


def quarantine_file(store: Path) -> Path:
    """Return the CSV file with the files that were left out of a store, and the reasons."""
    return store.with_name(f"{store.stem}.quarantine.csv")


def write_quarantine(store: Path, left_out: Sequence[LeftOut]) -> None:
    """Write name and reason of the files that were left out, and ``yes`` for those that the next call tries again."""
    sweep(quarantine_file(store))
    rows = ((row.name, row.reason, "yes" if row.passing else "") for row in left_out)
    write_csv(quarantine_file(store), ("path", "reason", "again"), rows)


def read_quarantine(store: Path) -> list[LeftOut]:
    """Read the files that were left out. Raises VimixError if the file is no such list."""
    file = quarantine_file(store)
    if not file.exists():
        return []
    expected = "the UTF-8 CSV path,reason that vimix prepare wrote (restore it, or make the store again with --force)"
    try:
        rows = list(
            csv.DictReader(io.StringIO(read_text(file, expected).removeprefix("\ufeff"), newline=""), strict=True)
        )
        if any(None in row for row in rows):
            raise csv.Error("a row has too many cells")
        return [
            LeftOut(from_csv_cell(row["path"]), from_csv_cell(row["reason"]), row.get("again") == "yes") for row in rows
        ]
    except (csv.Error, KeyError, TypeError, AttributeError) as error:
        raise VimixError(f"{file}: expected {expected}") from error
