"""Rows of a list of videos, whatever its format."""

import re
from collections.abc import Sequence
from pathlib import Path

from attrs import field, frozen

from vimix.values.segment import Segment

_SPLIT = re.compile(r"(?<![a-z])(train|val|test)(ing|id|idation|set|list)?(?![a-z])")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders and of cells that mean a split, in lower case."""


@frozen
class ListRow:
    """The content of a list about one clip."""

    line: str
    """File and line, for messages."""
    path: str
    label: str | None
    splits: tuple[str, ...]
    source: str = ""
    """Recording from which the clip was cut; empty: that of its name."""
    segment: Segment | None = None
    rate: float = 0.0
    """Frames a second of a folder of frames; 0: not known."""


@frozen
class Rows:
    """Content of a list."""

    rows: Sequence[ListRow] = ()
    classes: Sequence[str] = ()
    """Class names in the order of their labels, if the list has an order."""
    notes: tuple[str, ...] = field(default=())
    """Sentences about what is not used."""


def split_of(file: Path) -> str:
    """Return the split for which the name of a list stands: ``kinetics_val_list.txt`` is ``val``; ``train`` if none."""
    match = _SPLIT.search(file.stem.lower())
    return match[1] if match else "train"
