"""A picture of retrieval: each query with its nearest videos, framed by whether their class is right."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.reports.figures import png_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT, WRONG, QUERY = "#1a9641", "#d7191c", "#404040"
"""Colours of the frames."""
INCHES = 1.6
"""Side of a thumbnail in inches."""
LETTERS = 24
"""Number of letters that fit above a thumbnail."""


@frozen(eq=False)
class Thumbnail:
    """A video as one picture, uint8 [H, W, 3] in R, G, B order, with its name and class."""

    picture: NDArray[np.uint8]
    name: str
    class_name: str


@frozen(eq=False)
class SheetRow:
    """A query and its nearest videos, best first, with their similarities."""

    query: Thumbnail
    neighbours: Sequence[Thumbnail]
    similarities: Sequence[float]


def draw_sheet(path: Path, rows: Sequence[SheetRow], title: str) -> None:
    """Write a PNG, atomically. A line has a query, then its neighbours, framed green (same class) or red."""
    columns = 1 + max(len(row.neighbours) for row in rows)
    tallest = max(row.query.picture.shape[0] / row.query.picture.shape[1] for row in rows)
    with png_figure(path, (INCHES * columns, (INCHES * tallest + 0.4) * len(rows) + 0.4)) as figure:
        figure.suptitle(title, fontsize=10, parse_math=False)
        for row, line in zip(rows, figure.subplots(len(rows), columns, squeeze=False), strict=True):
            _draw_line(row, line)


def _draw_line(row: SheetRow, line: "Sequence[Axes]") -> None:
    for axes in line[1 + len(row.neighbours) :]:
        axes.set_axis_off()
    _draw(line[0], row.query, f"query: {row.query.class_name}", QUERY)
    for axes, found, similarity in zip(line[1:], row.neighbours, row.similarities, strict=False):
        colour = RIGHT if found.class_name == row.query.class_name else WRONG
        _draw(axes, found, f"{similarity:.2f} {found.class_name}", colour)


def _draw(axes: "Axes", thumbnail: Thumbnail, caption: str, colour: str) -> None:
    axes.imshow(thumbnail.picture)
    axes.set(xticks=[], yticks=[])
    axes.set_title(f"{_short(caption)}\n{_short(thumbnail.name)}", fontsize=6, parse_math=False)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=4)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
