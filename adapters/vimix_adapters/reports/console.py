"""Tables and lines for people, on standard output."""

from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 200
"""Columns of a table in a pipe or a file, where nobody's window limits it."""


def show_table(table: Table) -> None:
    """Print a table, its cells as they are: a video named ``clip[1].mp4`` or ``:cat:`` is no markup and no emoji."""
    # rich takes 80 columns for a pipe's width and folds what does not fit.
    width = None if Console().is_terminal else PIPED_WIDTH
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
