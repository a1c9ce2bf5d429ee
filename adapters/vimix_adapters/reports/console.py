"""Tables and messages for people: text is printed as it is, and never read as rich's markup."""

from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 200
"""Columns of a table in a pipe or a file, where nobody's window limits it."""


def plain_console(stderr: bool = False) -> Console:
    """A console on which ``clip[1].mp4`` is no markup and ``:cat:`` no emoji. For colours, print ``rich.text.Text``."""
    # rich takes 80 columns for a pipe's width and folds what does not fit.
    width = None if Console(stderr=stderr).is_terminal else PIPED_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def show_table(table: Table) -> None:
    """Print a table on standard output."""
    plain_console().print(table)
