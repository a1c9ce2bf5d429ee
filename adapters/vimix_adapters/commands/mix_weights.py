"""``vimix experiments weights``: the mean share of a query's own map that the tesseract cut leaves, by layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from attrs import frozen

from vimix.domain.mixing.policies import EXTENTS, CrossModalCutMix
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


@frozen
class MixWeights:
    """Mean weights of one encoder and extent."""

    encoder: str
    extent: str
    by_layers: Sequence[Sequence[float]]
    """Row k - 1 holds the mean weights for l = k, k+1, ..., L-1."""

    @property
    def random_layers(self) -> float:
        """The mean for k uniform in [1, L-1] and l uniform in [k, L-1]."""
        return float(np.mean([np.mean(row) for row in self.by_layers]))

    @property
    def same_layer(self) -> float:
        """The mean for k uniform in [1, L-1] and l = k."""
        return float(np.mean([row[0] for row in self.by_layers]))


def show_weights(encoders: Sequence[str], out: Path | None, force: bool = False) -> None:
    """Print a Markdown table of k by l for each encoder and extent; ``out`` is a JSON file to write too."""
    if out is not None:
        require_new(out, force)
    measured = [mix_weights(encoder, extent) for encoder in encoders for extent in EXTENTS]
    for weights in measured:
        print(
            f'{weights.encoder}, extent = "{weights.extent}": {weights.random_layers:.2f} on average over random '
            f"layers, {weights.same_layer:.2f} at the same layer\n"
        )
        print(_table(weights))
    if out is not None:
        write_json(out, {"draws": DRAWS, "weights": [_plain(weights) for weights in measured]})


def mix_weights(encoder: str, extent: str) -> MixWeights:
    """Mean weights for the paper's clips and ``dims = "cthw"``, from ``DRAWS`` plans of each pair of layers."""
    grids, policy, rng = _grids(encoder), CrossModalCutMix(extent=extent), np.random.default_rng(0)
    by_layers = [
        [float(policy.plan(batch=DRAWS, grid=grid, donor=donor, rng=rng).weight.mean()) for donor in grids[number:]]
        for number, grid in enumerate(grids)
    ]
    return MixWeights(encoder, extent, by_layers)


def _grids(encoder: str) -> list[Grid]:
    settings = ModalitySettings(encoder=encoder)
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


def _table(weights: MixWeights) -> str:
    depth = len(weights.by_layers)
    rows = [
        [f"k = {k}", *[""] * (k - 1), *(f"{value:.2f}" for value in row)]
        for k, row in enumerate(weights.by_layers, start=1)
    ]
    return markdown_table(["", *(f"l = {number}" for number in range(1, depth + 1))], rows, "lr")


def _plain(weights: MixWeights) -> dict[str, object]:
    means = {"random_layers": weights.random_layers, "same_layer": weights.same_layer}
    return {"encoder": weights.encoder, "extent": weights.extent, **means, "by_layers": [*map(list, weights.by_layers)]}
