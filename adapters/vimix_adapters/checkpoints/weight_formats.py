"""A registry of weight formats: names that other projects give to the weights of the encoders that vimix has.

A new format is one more entry of ``LAYOUTS``: a function from its names to those of vimix's encoder, and the settings
of its BatchNorm. Prefixes (``module.``, ``encoder_q.0.``, ``_orig_mod.``, ``backbone.`` ...) are not part of a format:
matching finds them.
"""

import re
from collections.abc import Callable, Mapping

import torch
from attrs import field, frozen
from torch import Tensor

Rename = Callable[[str], str | None]
"""Maps a name in the file, without its prefix, to the name in vimix's encoder; None if the encoder has no such name."""


@frozen
class WeightFormat:
    """Names and BatchNorm settings of one family of weight files."""

    about: str
    """Description for messages and records."""
    rename: Rename
    encoder: str = "s3d"
    """The encoder that the weights fit, as recipes name it."""
    batch_norm_eps: float = 1e-5
    batch_norm_momentum: float = 0.1
    heads: tuple[str, ...] = ("classifier.", "fc.", "fcn.", "head.", "heads.", "final_fc.", "final_bn.", "projector.")
    """Starts of the names of heads, under the same prefix as the encoder: dropped, not counted as unexpected."""
    prefers: tuple[str, ...] = ()
    """Words of a prefix that mark the wanted encoder if a file holds several equal ones."""
    avoids: tuple[str, ...] = ()
    """Words of a prefix that mark the encoder of another modality: used only if there is no other."""
    views: Mapping[str, str] = field(factory=dict)
    """A word of the prefix by modality, in files with the encoders of several modalities."""
    constants: tuple[str, ...] = ()
    """Buffers of the encoder that are not weights: dropped, not counted as unexpected."""


def _same(name: str) -> str | None:
    """torchvision's names, with or without ``features.``."""
    if name.startswith("features."):
        return name
    return f"features.{name}" if name[:1].isdigit() else None


_COCLR_STAGES = {
    **{"Conv_1a": 0, "Conv_2b": 2, "Conv_2c": 3, "Mixed_3b": 5, "Mixed_3c": 6},
    **{"Mixed_4b": 8, "Mixed_4c": 9, "Mixed_4d": 10, "Mixed_4e": 11, "Mixed_4f": 12, "Mixed_5b": 14, "Mixed_5c": 15},
    # CoCLR registers each module a second time, in a Sequential.
    **{"block1.0": 0, "block2.1": 2, "block2.2": 3, "block3.1": 5, "block3.2": 6, "block5.1": 14, "block5.2": 15},
    **{f"block4.{place}": 7 + place for place in range(1, 6)},
}
_COCLR_LAYERS = {"conv": "0", "bn": "1", "conv1": "0.0", "bn1": "0.1", "conv2": "1.0", "bn2": "1.1"}
_COCLR_NAME = re.compile(
    r"(?P<stage>Conv_\w+|Mixed_\w+|block\d\.\d)\.(?:(?P<branch>branch\d)\.(?P<place>\d)\.)?"
    r"(?P<layer>conv[12]?|bn[12]?)\.(?P<value>\w+)"
)


def _coclr(name: str) -> str | None:
    """Names of CoCLR's ``backbone/s3dg.py``: the stages as in the paper of S3D, ``conv`` and ``bn`` within them."""
    found = _COCLR_NAME.fullmatch(name)
    if found is None or found["stage"] not in _COCLR_STAGES:
        return None
    parts = ["features", str(_COCLR_STAGES[found["stage"]])]
    if found["branch"]:
        # torchvision's branch0 is the convolution itself, the others are sequences.
        parts += [found["branch"]] if found["branch"] == "branch0" else [found["branch"], found["place"]]
    return ".".join([*parts, _COCLR_LAYERS[found["layer"]], found["value"]])


GRAPH = "adjacency"
"""Name of the graph that an ST-GCN was trained with. It is no weight: vimix's encoder takes it from the layout."""
_CROSCLR_LAYERS = {
    "gcn.conv": "space.weigh",
    **{f"tcn.{place}": f"time.{place}" for place in (0, 2, 3)},
    **{f"residual.{place}": f"shortcut.{place}" for place in (0, 1)},
}
_CROSCLR_NAME = re.compile(r"st_gcn_networks\.(?P<block>\d)\.(?P<layer>\w+\.\w+)\.(?P<value>\w+)")


def _crosclr(name: str) -> str | None:
    """Names of CrosSCLR's ``net/st_gcn.py``, which is ST-GCN's. Shapes and orders of axes are those of vimix's encoder.

    The channels of the input's BatchNorm are ordered by joint, then coordinate, those of the spatial convolution by
    subset 0, 1, 2.
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
    """The block with this number; the first one follows the BatchNorm of the input."""
    return "features.0.1" if number == "0" else f"features.{number}"


_RESNET_STAGE = re.compile(
    r"(?:(?P<stem>stem)|layer(?P<layer>[1-4])|(?:features|base_network)\.(?P<stage>[0-4]))\.(?P<rest>.+)"
)
_CTP_LAYERS = (
    (re.compile(r"\.conv_s\."), ".0."),
    (re.compile(r"\.bn_s\."), ".1."),
    (re.compile(r"\.conv_t\."), ".3."),
    (re.compile(r"\.bn_t\."), ".4."),
    (re.compile(r"\.downsample\.(?:conv\.)?(?=weight$)"), ".downsample.0."),
    (re.compile(r"\.downsample_bn\."), ".downsample.1."),
)
"""CtP's names of the layers within stem, convolutions and shortcuts, and those of torchvision."""


def _resnet(name: str) -> str | None:
    """torchvision's names, with ``base_network.N`` (RSPNet, PCL) or ``features.N`` for stem and layers too."""
    found = _RESNET_STAGE.fullmatch(name)
    if found is None:
        return None
    return f"features.{0 if found['stem'] else found['layer'] or found['stage']}.{found['rest']}"


def _ctp(name: str) -> str | None:
    """Names of CtP's R(2+1)D: ``conv_s``, ``bn_s``, ``conv_t`` within a convolution, ``bn1`` and ``bn2`` behind it."""
    for theirs, ours in _CTP_LAYERS:
        name = theirs.sub(ours, f".{name}").removeprefix(".")
    name = re.sub(r"\.conv(\d)\.([013])\.", r".conv\1.0.\2.", name)
    return _resnet(re.sub(r"\.bn(\d)\.", r".conv\1.1.", name))


def _s3d(about: str, *prefers: str) -> WeightFormat:
    """A family of files with torchvision's S3D."""
    return WeightFormat(about, _same, batch_norm_eps=1e-3, batch_norm_momentum=1e-3, prefers=prefers)


def _resnet_of(about: str, encoder: str, rename: Rename = _resnet) -> WeightFormat:
    """A family of files with one of torchvision's residual networks."""
    prefers = ("encoder_q", "video_network", "backbone")
    return WeightFormat(about, rename, encoder, heads=("fc.", "head.", "mlp"), prefers=prefers)


LAYOUTS: Mapping[str, WeightFormat] = {
    "vimix": WeightFormat("an encoder exported by vimix as safetensors", _same),
    "torchvision": _s3d("torchvision.models.video.s3d"),
    "moco": _s3d("torchvision's S3D within MoCo (encoder_q, base_encoder)", "encoder_q", "base_encoder"),
    "simclr": _s3d("torchvision's S3D within SimCLR and similar methods (backbone, encoder)", "backbone", "encoder"),
    "r3d_18": _resnet_of("torchvision.models.video.r3d_18 and methods around it", "r3d_18"),
    "mc3_18": _resnet_of("torchvision.models.video.mc3_18 and methods around it", "mc3_18"),
    "r2plus1d_18": _resnet_of(
        "torchvision.models.video.r2plus1d_18 and methods around it (MoCo, VideoMoCo, RSPNet, PCL, GDT, SeLaVi)",
        "r2plus1d_18",
    ),
    "ctp": _resnet_of("CtP's R(2+1)D", "r2plus1d_18", _ctp),
    "coclr": WeightFormat("CoCLR's S3D (backbone/s3dg.py)", _coclr, prefers=("encoder_q", "backbone")),
    "crosclr": WeightFormat(
        "ST-GCN, its authors' or that of SkeletonCLR or CrosSCLR (net/st_gcn.py)",
        _crosclr,
        encoder="stgcn",
        prefers=("encoder_q",),
        views={"joint": "encoder_q", "motion": "encoder_q_motion", "bone": "encoder_q_bone"},
        constants=("A",),
    ),
}
"""Weight formats by the name that ``vimix import --layout`` takes."""


def with_epsilon(state: Mapping[str, Tensor], old: float, new: float) -> dict[str, Tensor]:
    """A state dict that computes with eps ``new`` what ``state`` computes with eps ``old``, in evaluation mode.

    γ / √(σ² + old) = γ' / √(σ² + new): only γ changes. In training mode, with the σ² of a batch, this holds
    approximately. BatchNorms are found by their names ``<layer>.running_var`` and ``<layer>.weight``.
    """
    result = dict(state)
    for name in [name for name in state if name.endswith(".running_var") and old != new]:
        variance, weight = state[name].double(), f"{name.removesuffix('running_var')}weight"
        factor = torch.sqrt((variance + new) / (variance + old))
        result[weight] = (state[weight].double() * factor).to(state[weight].dtype)
    return result
