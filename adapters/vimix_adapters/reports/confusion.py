"""A confusion matrix, as plain data and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vimix_adapters.reports.figures import png_figure
from vimix_adapters.reports.results import write_json

FORMAT = "vimix-confusion-1"
NAMED = 60
"""Most classes whose names fit on the axes."""

Counts = NDArray[np.int64]


def write_confusion(path: Path, classes: Sequence[str], counts: Counts) -> None:
    """Write ``counts`` [C, C] as JSON: row i counts the test videos of class i by the predicted class."""
    write_json(path, {"format": FORMAT, "classes": list(classes), "counts": counts})


def draw_confusion(path: Path, classes: Sequence[str], counts: Counts) -> None:
    """Write a PNG of ``counts`` [C, C], each row as shares of its class, atomically."""
    side = min(4 + 0.2 * len(classes), 16)
    with png_figure(path, (side + 1, side)) as figure:
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        picture = axes.imshow(100 * shares, vmin=0, vmax=100, cmap="viridis")
        figure.colorbar(picture, label="share of the class's test videos (%)")
        axes.set(xlabel="predicted class", ylabel="class")
        if len(classes) <= NAMED:
            places = range(len(classes))
            axes.set_xticks(places, classes, rotation=90, fontsize=7, parse_math=False)
            axes.set_yticks(places, classes, fontsize=7, parse_math=False)
