"""The page of a recipe's mixes: mixed clips, drawn boxes of hidden maps, and histograms of the weights."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, evolve, field, frozen
from numpy.typing import NDArray

from vimix.values.mixing import MixPlan
from vimix_adapters.files import write_text
from vimix_adapters.reports.page.page import render_template, script_json
from vimix_adapters.reports.results import write_json

FORMAT = "vimix-mix-1"
BINS = 10
"""Bins of a histogram of weights from 0 to 1."""
PANE = 36
"""Side of a frame of a drawn map in pixels."""


@frozen
class MixedClip:
    """A clip, its partner and their mix."""

    policy: str
    modality: str
    weight: float
    """Share of the mix that is the clip's own."""
    own: str
    """Name of the video."""
    partner: str
    clips: tuple[int, int, int]
    """Numbers of the clips: own, partner's, mixed."""
    used: bool
    """Whether the recipe mixes clips by this policy."""


@frozen
class DrawnBox:
    """A box that was drawn for one query: cells of a map of the trained encoder that come from its partner."""

    k: int
    """Layer of the trained encoder."""
    l: int  # noqa: E741  # the paper's name
    """Layer of the partner."""
    weight: float
    """Share of the map that stays the query's own."""
    sizes: tuple[int, ...]
    """Cells of the trained encoder's map along [channel, time, height, width]; for skeletons joint and person."""
    donor_sizes: tuple[int, ...]
    start: tuple[int, ...]
    """First cell of the box along the same axes."""
    donor_start: tuple[int, ...]
    extent: tuple[int, ...]
    """Cells of the box along each axis."""

    @property
    def width(self) -> int:
        """Width of its picture in pixels."""
        return 70 + self.sizes[1] * (PANE + 4)

    @property
    def panes(self) -> list[dict[str, float]]:
        """Each time step's pane and the part of it that is the partner's, in pixels."""
        (_, _, height, width), (_, t, h, w) = self.sizes, self.start
        _, times, rows, columns = self.extent
        return [
            {
                "x": 70 + at * (PANE + 4),
                "left": PANE * w / width,
                "top": PANE * h / height,
                "wide": PANE * columns / width if t <= at < t + times else 0.0,
                "high": PANE * rows / height if t <= at < t + times else 0.0,
            }
            for at in range(self.sizes[1])
        ]

    @property
    def channels(self) -> tuple[float, float]:
        """Begin and length of the partner's channels in a bar of ``PANE`` pixels."""
        if not all(self.extent):
            return 0.0, 0.0
        return PANE * self.start[0] / self.sizes[0], PANE * self.extent[0] / self.sizes[0]


@frozen
class WeightHistogram:
    """Weights of many plans between layers k and l."""

    k: int
    l: int  # noqa: E741  # the paper's name
    mean: float
    shares: Sequence[float]
    """[BINS], shares of the plans whose weight lies in each tenth of 0 to 1."""


@frozen
class HiddenMixes:
    """The hidden mix of one kind of stage."""

    modality: str
    partner: str
    """Empty if the partner's map is of the same encoder."""
    policy: str
    layers: Sequence[int]
    """Layers of the trained encoder, 1 ... L-1."""
    boxes: Sequence[DrawnBox]
    """Empty for a policy that interpolates."""
    histograms: Sequence[WeightHistogram]

    def histogram(self, k: int, l: int) -> WeightHistogram | None:  # noqa: E741  # the paper's name
        """The histogram of a pair of layers; None for a pair that is never drawn."""
        return next((one for one in self.histograms if (one.k, one.l) == (k, l)), None)

    @property
    def donor_layers(self) -> list[int]:
        """Layers of the partner that are drawn."""
        return sorted({one.l for one in self.histograms})


@frozen(eq=False)
class MixPage:
    """All mixes of a recipe."""

    recipe: str
    mixed: Sequence[MixedClip]
    hidden: Sequence[HiddenMixes]
    clips: Sequence[bytes] = field(default=(), repr=False)


def box_of(
    plan: MixPlan, row: int, layers: tuple[int, int], sizes: tuple[int, ...], donor: tuple[int, ...]
) -> DrawnBox:
    """The box of one row of a plan with a cut."""
    cut = plan.cut
    assert cut is not None
    start, donor_start, extent = (tuple(column[row].tolist()) for column in (cut.start, cut.donor_start, cut.extent))
    return DrawnBox(*layers, float(plan.weight[row]), sizes, donor, start, donor_start, extent)


def histogram_of(weights: NDArray[np.float32], k: int, l: int) -> WeightHistogram:  # noqa: E741  # the paper's name
    """The histogram of weights [N] from 0 to 1; a weight of 1 counts in the last bin."""
    counts, _ = np.histogram(weights, bins=BINS, range=(0.0, 1.0))
    return WeightHistogram(k, l, float(weights.mean()), [float(count) / len(weights) for count in counts])


def plain_mixes(page: MixPage) -> dict[str, Any]:
    """Every number of the page as plain data."""
    return {"format": FORMAT, **asdict(evolve(page, clips=())), "clips": len(page.clips)}


def render_mixes(page: MixPage) -> str:
    """The page as one HTML document without any reference to another file."""
    clips = script_json([base64.b64encode(clip).decode() for clip in page.clips])
    return render_template("mix.html", page=page, pane=PANE, clips=clips)


def write_mixes(page: MixPage, out: Path) -> None:
    """Write the page and, beside it with the suffix .json, its numbers; each atomically."""
    write_json(out.with_suffix(".json"), plain_mixes(page))
    write_text(out, render_mixes(page))
