"""Tables and notes for people: text is printed as it is and never read as rich's markup; tables in Markdown."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vimix_adapters.terminal import coloured_stream, printable

PIPED_WIDTH = 200
"""Columns of a table in a pipe or a file, which no window limits."""
RULES = {"l": "---", "r": "---:"}
"""The rule below a heading in Markdown, by alignment."""


class _PlainConsole(Console):
    """A console that shows control characters in strings and does not send them to the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the printable text with the options' style."""
        return super().render_str(printable(text), **options)


def plain_console(stderr: bool = False) -> Console:
    """A console on which ``clip[1].mp4`` is no markup and ``:cat:`` no emoji. For colours, print ``rich.text.Text``."""
    # rich takes a pipe for 80 columns wide and folds longer lines.
    file = coloured_stream(stderr)
    width = None if Console(file=file).is_terminal else PIPED_WIDTH
    return _PlainConsole(file=file, width=width, stderr=stderr, markup=False, emoji=False, highlight=False)


def show_table(table: Table, stderr: bool = False) -> None:
    """Print a table."""
    plain_console(stderr).print(table)


def text_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: str,
    title: str = "",
    caption: str = "",
    sections: Sequence[object] = (),
) -> Table:
    """Return a table of texts for the console.

    ``align`` has a letter per column, ``l`` or ``r``; its last letter also holds for all further columns. With
    ``sections``, a value for each row, a line is drawn where the value changes.
    """
    table = Table(title=title or None, caption=caption or None)
    for heading, letter in zip(headings, align.ljust(len(headings), align[-1]), strict=False):
        table.add_column(heading, justify="right" if letter == "r" else "left")
    keys = sections or [""] * len(rows)
    for row, key, following in zip(rows, keys, [*keys[1:], *keys[-1:]], strict=True):
        table.add_row(*row, end_section=following != key)
    return table


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Return a table as GitHub renders it, one line per row, with ``|`` in cells escaped.

    ``align`` is as for ``text_table``.
    """
    aligned = align.ljust(len(headings), align[-1])[: len(headings)]
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in [headings, *rows]]
    lines.insert(1, [RULES[letter] for letter in aligned])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def print_note(text: str) -> None:
    """Print a line on standard error, which leaves standard output to the results."""
    print(text, file=sys.stderr, flush=True)
