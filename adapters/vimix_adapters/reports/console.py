"""Tables and notes for people."""

import sys

from rich.console import Console
from rich.table import Table

PIPED_WIDTH = 200
"""Columns of a table in a pipe or a file, which no window limits."""


def show_table(table: Table, stderr: bool = False) -> None:
    """Print a table without markup or emoji: a video may be named ``clip[1].mp4`` or ``:cat:``."""
    # rich takes a pipe for 80 columns wide and folds longer lines.
    width = None if Console(stderr=stderr).is_terminal else PIPED_WIDTH
    Console(width=width, stderr=stderr, markup=False, emoji=False, highlight=False).print(table)


def print_note(text: str) -> None:
    """Print a line on standard error, which leaves standard output to the results."""
    print(text, file=sys.stderr, flush=True)
