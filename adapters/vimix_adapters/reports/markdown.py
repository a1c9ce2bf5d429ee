"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

RULES = {"l": "---", "r": "---:"}
"""The rule below a heading by alignment."""


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Return a table as GitHub renders it, one line per row, with ``|`` in cells escaped.

    ``align`` has one letter per column, ``l`` or ``r``; its last letter also holds for all further columns.
    """
    aligned = align.ljust(len(headings), align[-1])[: len(headings)]
    lines = [[_escaped(cell) for cell in cells] for cells in [headings, *rows]]
    lines.insert(1, [RULES[letter] for letter in aligned])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
