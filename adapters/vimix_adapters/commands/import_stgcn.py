"""Facts that ``vimix import`` reads from the weights of an ST-GCN: the modality, the sizes and the graph."""

from collections.abc import Mapping
from pathlib import Path

import torch
from attrs import evolve
from torch import Tensor

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.checkpoints.weight_formats import GRAPH, WeightFormat
from vimix_adapters.encoders.graph import SUBSETS, Hops, spatial_partition
from vimix_adapters.encoders.stgcn import STGCNEncoder
from vimix_adapters.skeletons.layouts import find_layout

SKELETON = find_layout("ntu")
"""Layout of all published weights, with joints in vimix's order."""
_FIRST, _LAST, _INPUT = "features.0.1.space.weigh.weight", "features.9.space.weigh.weight", "features.0.0.norm.weight"


def of_view(file: Path, tensors: Mapping[str, Tensor], layout: WeightFormat, modality: str) -> WeightFormat:
    """Return the layout restricted to the encoder of one modality in a file of several.

    The only encoder of a file is taken for any modality: SkeletonCLR calls it ``encoder_q`` on all of them. Raises
    VimixError if the layout does not have the modality, or the file only has encoders of other modalities.
    """
    if not layout.views:
        return layout
    words = {word for name in tensors for word in name.split(".")}
    held = [view for view, word in layout.views.items() if word in words]
    if modality not in layout.views:
        raise VimixError(f"--modality {modality}: {file} holds {layout.about}: one of {', '.join(layout.views)}")
    if len(held) > 1 and modality not in held:
        raise VimixError(f"{file}: expected an encoder of {modality}, found those of {' and '.join(held)}")
    if len(held) <= 1:
        return layout
    own = layout.views[modality]
    return evolve(layout, prefers=(own,), avoids=tuple(word for word in layout.views.values() if word != own))


def stgcn_shapes() -> dict[str, torch.Size]:
    """Shapes of the tensors of vimix's ST-GCN with a single channel, by name."""
    state = STGCNEncoder(SKELETON, hidden_channels=1, feature_size=1).state_dict()
    return {name: value.shape for name, value in state.items()}


def stgcn_settings(file: Path, named: Mapping[str, Tensor]) -> tuple[config.ModalitySettings, dict[str, str]]:
    """Return settings for tensors under vimix's names, and notes for the user on graph and recipe.

    Raises VimixError naming the file unless it is an ST-GCN of 25 joints, 3 coordinates and 3 subsets.
    """
    if lacking := [name for name in (_FIRST, _LAST, _INPUT) if name not in named]:
        raise VimixError(f"{file}: {lacking[0]} (in vimix's names) is not in it: expected ST-GCN's ten blocks")
    inputs = 3 * len(SKELETON.joints)
    if len(named[_INPUT]) != inputs:
        raise VimixError(
            f"{file}: its input has {len(named[_INPUT])} numbers a frame, expected {inputs}: 3 coordinates of the "
            f"{len(SKELETON.joints)} joints of NTU RGB+D"
        )
    hidden, feature = (len(named[name]) // SUBSETS for name in (_FIRST, _LAST))
    if not hidden or not feature or any(len(named[name]) % SUBSETS for name in (_FIRST, _LAST)):
        raise VimixError(f"{file}: its graph convolutions have no {SUBSETS} subsets: expected strategy 'spatial'")
    hops, message = _graph(file, named.get(GRAPH))
    stgcn = config.Stgcn(hidden_channels=hidden, feature_size=feature, persons="all", hops=hops)
    needs = f'hidden_channels = {hidden}, feature_size = {feature}, persons = "all", hops = "{hops}"'
    notes = {
        "graph": f"graph: {message}",
        "recipe": f'a recipe that computes the same has: encoder = "stgcn", stgcn = {{ {needs} }}',
    }
    return config.ModalitySettings(encoder="stgcn", stgcn=stgcn), notes


def _graph(file: Path, theirs: Tensor | None) -> tuple[Hops, str]:
    """The reach of distances in the graph of the file (a value of ``hops``), and a sentence about it."""
    if theirs is None:
        return "one", "not in the file, so that of CrosSCLR's code is assumed"
    ours: dict[Hops, Tensor] = {"one": _partition("one"), "all": _partition("all")}
    if theirs.shape != ours["one"].shape:
        raise VimixError(
            f"{file}: its graph A is {list(theirs.shape)}, expected {list(ours['one'].shape)}: strategy 'spatial' with "
            "max_hop 1 on NTU RGB+D's joints"
        )
    wrong = {hops: int((~torch.isclose(theirs.float(), graph, atol=1e-6)).sum()) for hops, graph in ours.items()}
    hops = min(ours, key=lambda name: wrong[name])
    if not wrong[hops]:
        return hops, f"identical to that of the file (hops = {hops!r})"
    edges = int((ours[hops] != 0).sum())
    return hops, (
        f"hops = {hops!r} is nearest, but {wrong[hops]} entries differ from the file's (of {edges} edges): the "
        "features differ from those of the network that was trained"
    )


def _partition(hops: Hops) -> Tensor:
    return torch.from_numpy(spatial_partition(SKELETON, hops))
