"""How others name the weights of encoders that vimix has: a registry of key maps.

A new layout is one more entry of ``LAYOUTS``: a function from its names to those of vimix's encoder, and the settings
of its BatchNorm. Prefixes (``module.``, ``encoder_q.0.``, ``_orig_mod.``, ``backbone.`` ...) are no part of a layout:
matching finds them.
"""

import re
from collections.abc import Callable, Mapping

from attrs import field, frozen

Rename = Callable[[str], str | None]
"""A foreign name without its prefix -> the name in vimix's encoder; None if no layer of the encoder is called so."""


@frozen
class WeightFormat:
    """Names and BatchNorm of one family of weight files."""

    about: str
    rename: Rename
    encoder: str = "s3d"
    """Which of the recipe's encoders it fits."""
    batch_norm_eps: float = 1e-5
    batch_norm_momentum: float = 0.1
    heads: tuple[str, ...] = ("classifier.", "fc.", "head.", "heads.", "final_fc.", "final_bn.", "projector.")
    """What follows the encoder under the same prefix: dropped without counting as unexpected."""
    prefers: tuple[str, ...] = ()
    """Words of a prefix that mark the wanted one of several equal encoders."""
    avoids: tuple[str, ...] = ()
    """Words of a prefix that mark the encoder of another modality: taken only if there is nothing else."""
    views: Mapping[str, str] = field(factory=dict)
    """Where one file holds encoders of several modalities: the word of each one's prefix, by modality."""
    constants: tuple[str, ...] = ()
    """Buffers of the encoder that are no weights: dropped without counting as unexpected."""


def _same(name: str) -> str | None:
    """torchvision's names, with ``features.`` or without."""
    if name.startswith("features."):
        return name
    return f"features.{name}" if name[:1].isdigit() else None


_COCLR_STAGES = {
    **{"Conv_1a": 0, "Conv_2b": 2, "Conv_2c": 3, "Mixed_3b": 5, "Mixed_3c": 6},
    **{"Mixed_4b": 8, "Mixed_4c": 9, "Mixed_4d": 10, "Mixed_4e": 11, "Mixed_4f": 12, "Mixed_5b": 14, "Mixed_5c": 15},
    # The same modules a second time: CoCLR registers each in a Sequential too.
    **{"block1.0": 0, "block2.1": 2, "block2.2": 3, "block3.1": 5, "block3.2": 6, "block5.1": 14, "block5.2": 15},
    **{f"block4.{place}": 7 + place for place in range(1, 6)},
}
_COCLR_LAYERS = {"conv": "0", "bn": "1", "conv1": "0.0", "bn1": "0.1", "conv2": "1.0", "bn2": "1.1"}
_COCLR_NAME = re.compile(
    r"(?P<stage>Conv_\w+|Mixed_\w+|block\d\.\d)\.(?:(?P<branch>branch\d)\.(?P<place>\d)\.)?"
    r"(?P<layer>conv[12]?|bn[12]?)\.(?P<value>\w+)"
)


def _coclr(name: str) -> str | None:
    """CoCLR's ``backbone/s3dg.py``: stages by their names in the paper, ``conv``/``bn`` within."""
    found = _COCLR_NAME.fullmatch(name)
    if found is None or found["stage"] not in _COCLR_STAGES:
        return None
    parts = ["features", str(_COCLR_STAGES[found["stage"]])]
    if found["branch"]:
        # torchvision's branch0 is the convolution itself, the others are sequences.
        parts += [found["branch"]] if found["branch"] == "branch0" else [found["branch"], found["place"]]
    return ".".join([*parts, _COCLR_LAYERS[found["layer"]], found["value"]])


GRAPH = "adjacency"
"""The graph that an ST-GCN was trained with; no weight of vimix's encoder, whose graph is the layout's."""
_CROSCLR_LAYERS = {
    "gcn.conv": "space.weigh",
    **{f"tcn.{place}": f"time.{place}" for place in (0, 2, 3)},
    **{f"residual.{place}": f"shortcut.{place}" for place in (0, 1)},
}
_CROSCLR_NAME = re.compile(r"st_gcn_networks\.(?P<block>\d)\.(?P<layer>\w+\.\w+)\.(?P<value>\w+)")


def _crosclr(name: str) -> str | None:
    """CrosSCLR's ``net/st_gcn.py``, which is ST-GCN's: the same shapes and orders of axes as vimix's, other names.

    BatchNorm of the input is over joints, then coordinates; the convolution's channels are of subset 0, then 1, 2.
    """
    if name == "A":
        return GRAPH
    first, _, rest = name.partition(".")
    if first == "data_bn":
        return f"features.0.0.norm.{rest}"
    if first == "edge_importance":
        return f"{_crosclr_block(rest)}.space.importance" if rest.isdigit() else None
    found = _CROSCLR_NAME.fullmatch(name)
    if found is None or found["layer"] not in _CROSCLR_LAYERS:
        return None
    return f"{_crosclr_block(found['block'])}.{_CROSCLR_LAYERS[found['layer']]}.{found['value']}"


def _crosclr_block(number: str) -> str:
    """The first block stands behind the BatchNorm of the input."""
    return "features.0.1" if number == "0" else f"features.{number}"


_TORCHVISION_NORM = {"batch_norm_eps": 1e-3, "batch_norm_momentum": 1e-3}

LAYOUTS: Mapping[str, WeightFormat] = {
    "vimix": WeightFormat("an encoder exported by vimix as safetensors", _same),
    "torchvision": WeightFormat("torchvision.models.video.s3d", _same, **_TORCHVISION_NORM),  # type: ignore[arg-type]  # floats
    "moco": WeightFormat(
        "torchvision's S3D within MoCo (encoder_q, base_encoder)",
        _same,
        prefers=("encoder_q", "base_encoder"),
        **_TORCHVISION_NORM,  # type: ignore[arg-type]  # floats
    ),
    "simclr": WeightFormat(
        "torchvision's S3D within SimCLR and its kin (backbone, encoder)",
        _same,
        prefers=("backbone", "encoder"),
        **_TORCHVISION_NORM,  # type: ignore[arg-type]  # floats
    ),
    "coclr": WeightFormat("CoCLR's S3D (backbone/s3dg.py)", _coclr, prefers=("encoder_q", "backbone")),
    "crosclr": WeightFormat(
        "ST-GCN of SkeletonCLR or CrosSCLR (net/st_gcn.py)",
        _crosclr,
        encoder="stgcn",
        prefers=("encoder_q",),
        views={"joint": "encoder_q", "motion": "encoder_q_motion", "bone": "encoder_q_bone"},
        constants=("A",),
    ),
}
"""By the name that ``vimix import --layout`` takes."""
