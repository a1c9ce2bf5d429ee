"""The mixes of a recipe as one PNG: strips of frames, drawn boxes, and mean weights by layers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vimix_adapters.reports.figures import png_figure
from vimix_adapters.reports.page.mix import DrawnBox, HiddenMixes, MixPage

FRAMES = 4
"""Frames of a strip, evenly spaced."""
OWN, PARTNER = "#9ecae9", "#e6550d"
"""Colours of cells of the query's own map and of its partner's."""


def draw_mixes(path: Path, page: MixPage, pictures: Mapping[int, NDArray[np.uint8]]) -> None:
    """Write the PNG, atomically. ``pictures`` holds the frames uint8 [T, H, W, 3] of each clip by its number.

    The page has at least one mixed clip or hidden mix.
    """
    heights = [1.1] * len(page.mixed) + [1.7] * len(page.hidden)
    with png_figure(path, (11, sum(heights) + 0.5), dpi=110) as figure:
        figure.suptitle(f"Mixes of {page.recipe}", parse_math=False, fontsize=11)
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, mixed in zip(parts, page.mixed, strict=False):
            axes = part.subplots(1, 3)
            titles = ("clip", "partner", f"{mixed.policy}: {mixed.weight:.0%} of the clip".replace("%", " %"))
            for pane, number, title in zip(axes, mixed.clips, titles, strict=True):
                pane.imshow(_strip(pictures[number]))
                pane.set(xticks=[], yticks=[])
                pane.set_title(title, fontsize=8, parse_math=False)
        for part, hidden in zip(parts[len(page.mixed) :], page.hidden, strict=True):
            _draw_hidden(part, hidden)


def _strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    at = np.linspace(0, len(frames) - 1, FRAMES).round().astype(int)
    strip: NDArray[np.uint8] = np.concatenate(list(frames[at]), axis=1)
    return strip


def _draw_hidden(part: Any, hidden: HiddenMixes) -> None:
    axes = part.subplots(1, len(hidden.boxes) + 1, width_ratios=[2.2] * len(hidden.boxes) + [1.6])
    panes = np.atleast_1d(axes)
    words = f"{hidden.modality} from {hidden.partner}" if hidden.partner else hidden.modality
    part.suptitle(f"{hidden.policy}, {words}: cells of the partner in orange", fontsize=9, parse_math=False)
    for pane, box in zip(panes, hidden.boxes, strict=False):
        pane.imshow(_cells(box))
        pane.set(xticks=[], yticks=[])
        channels = f"channels {box.start[0]}-{box.start[0] + box.extent[0]} of {box.sizes[0]}"
        pane.set_title(f"k = {box.k}, l = {box.l}, own {box.weight:.2f}\n{channels}", fontsize=7)
    _draw_weights(panes[-1], hidden)


def _cells(box: DrawnBox) -> NDArray[np.uint8]:
    """The time steps of a map side by side, a grey line between them: [H, T·(W+1), 3] uint8."""
    _, times, height, width = box.sizes
    own, partner = (np.array([int(c[at : at + 2], 16) for at in (1, 3, 5)], np.uint8) for c in (OWN, PARTNER))
    cells = np.broadcast_to(own, (times, height, width + 1, 3)).copy()
    cells[:, :, width] = 128
    _, t, h, w = box.start
    _, long, high, wide = box.extent
    cells[t : t + long, h : h + high, w : w + wide] = partner if box.extent[0] else own
    return np.concatenate(list(cells), axis=1)


def _draw_weights(axes: Any, hidden: HiddenMixes) -> None:
    layers, donors = hidden.layers, hidden.donor_layers
    means = np.full((len(layers), len(donors)), np.nan)
    for one in hidden.histograms:
        means[layers.index(one.k), donors.index(one.l)] = one.mean
    axes.imshow(means, vmin=0, vmax=1, cmap="Blues")
    for (row, column), mean in np.ndenumerate(means):
        if not np.isnan(mean):
            colour = "k" if mean < 0.6 else "w"
            axes.text(column, row, f"{mean:.2f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(donors)), [f"l = {layer}" for layer in donors], fontsize=6)
    axes.set_yticks(range(len(layers)), [f"k = {layer}" for layer in layers], fontsize=6)
    axes.set_title("mean own share", fontsize=7)
