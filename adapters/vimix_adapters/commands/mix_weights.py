"""``vimix experiments weights``: the mean share of a query's own map that the tesseract cut leaves (section 4)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from attrs import asdict, frozen

from vimix.domain.mixing.policies import DIMS, EXTENTS, CrossModalCutMix
from vimix.values.grid import Grid
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.encoders.chain import StageChain, encoder_of
from vimix_adapters.files import require_new
from vimix_adapters.reports.console import markdown_table
from vimix_adapters.reports.results import write_json
from vimix_adapters.skeletons.layouts import find_layout

DRAWS = 4000
"""Plans drawn for each pair of layers."""
CLIPS: Mapping[str, tuple[int, int, int, int]] = {"s3d": (3, 32, 128, 128), "stgcn": (3, 50, 25, 2)}
"""The paper's clips by encoder: [C, T, H, W] or [C, T, V, M]."""
STAGES: Mapping[str, Sequence[Literal["blocks", "modules"]]] = {"s3d": ("blocks", "modules"), "stgcn": ("blocks",)}
"""Ways to cut an encoder into stages; the first is the default."""


@frozen
class MixWeights:
    """Mean weights of one encoder, way to cut it into stages, and extent."""

    encoder: str
    stages: str
    extent: str
    by_layers: Sequence[Sequence[float]]
    """Row k - 1 holds the mean weights for l = k, k+1, ..., L-1, with ``dims = "cthw"``."""
    same_layer: Mapping[str, float]
    """The mean for k uniform in [1, L-1] and l = k, by ``dims``."""

    @property
    def random_layers(self) -> float:
        """The mean for k uniform in [1, L-1], l uniform in [k, L-1] and ``dims = "cthw"``."""
        return float(np.mean([np.mean(row) for row in self.by_layers]))


def show_weights(encoders: Sequence[str], out: Path | None, force: bool = False) -> None:
    """Print a Markdown table of all means, then one of k by l for each encoder and extent with the default stages.

    ``out`` is a JSON file to write too, with all numbers.
    """
    if out is not None:
        require_new(out, force)
    measured = [
        mix_weights(encoder, extent, stages) for encoder in encoders for stages in STAGES[encoder] for extent in EXTENTS
    ]
    print(_means(measured))
    for weights in measured:
        if weights.stages == STAGES[weights.encoder][0]:
            print(f'{weights.encoder}, extent = "{weights.extent}":\n\n{_table(weights)}')
    if out is not None:
        rows = [{**asdict(weights), "random_layers": weights.random_layers} for weights in measured]
        write_json(out, {"draws": DRAWS, "weights": rows})


def mix_weights(encoder: str, extent: str, stages: Literal["blocks", "modules"] = "blocks") -> MixWeights:
    """Mean weights for the paper's clips, from ``DRAWS`` plans of each pair of layers."""
    grids, rng = _grids(encoder, stages), np.random.default_rng(0)

    def mean(dims: str, grid: Grid, donor: Grid) -> float:
        policy = CrossModalCutMix(dims=dims, extent=extent)
        return float(policy.plan(batch=DRAWS, grid=grid, donor=donor, rng=rng).weight.mean())

    by_layers = [[mean("cthw", grid, donor) for donor in grids[number:]] for number, grid in enumerate(grids)]
    same_layer = {dims: float(np.mean([mean(dims, grid, grid) for grid in grids])) for dims in reversed(DIMS)}
    return MixWeights(encoder, stages, extent, by_layers, same_layer)


def _grids(encoder: str, stages: Literal["blocks", "modules"]) -> list[Grid]:
    settings = ModalitySettings(encoder=encoder, stages=stages)
    network = encoder_of(settings, find_layout("ntu") if settings.entry.maps == "graph" else None)
    return map_grids(network, CLIPS[encoder])


@torch.no_grad()
def map_grids(network: StageChain, clip: tuple[int, int, int, int]) -> list[Grid]:
    """Grids of the maps after stages 1 ... L-1, for clips [C, T, H, W] or [C, T, V, M]."""
    network.eval()
    hidden, grids = torch.ones(1, *clip), []
    for stage in range(network.depth - 1):
        hidden = network.partial_forward(hidden, stage, stage + 1)
        grids.append(Grid.of(hidden.shape, planar=network.planar))
    return grids


def _means(measured: Sequence[MixWeights]) -> str:
    headings = [
        "encoder",
        "stages",
        "extent",
        "cthw, random layers",
        *(f"{dims}, same layer" for dims in reversed(DIMS)),
    ]
    rows = [
        [w.encoder, w.stages, w.extent, *(f"{mean:.2f}" for mean in (w.random_layers, *w.same_layer.values()))]
        for w in measured
    ]
    return markdown_table(headings, rows, "lllr")


def _table(weights: MixWeights) -> str:
    depth = len(weights.by_layers)
    rows = [
        [f"k = {k}", *[""] * (k - 1), *(f"{value:.2f}" for value in row)]
        for k, row in enumerate(weights.by_layers, start=1)
    ]
    return markdown_table(["", *(f"l = {number}" for number in range(1, depth + 1))], rows, "lr")
