"""S3D (Xie et al. 2018) as a chain of stages: the ``features`` of torchvision's network."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn
from torchvision.models.video.s3d import S3D, SepInceptionBlock3D, TemporalSeparableConv
from torchvision.ops.misc import Conv3dNormActivation

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.encoders.chain import StageChain, scaled
from vimix_adapters.encoders.planar import PlanarBatchNorm3d, in_planes

# Channels (1x1, reduce, 3x3x3, reduce, 3x3x3, pool branch) of the nine inception blocks, as in torchvision.
_INCEPTION = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
_BRANCHES = (0, 2, 4, 5)
"""The columns whose sum is the output of a block."""


BATCH_NORM_EPS = 1e-5
"""Epsilon of BatchNorm, as in CoCLR (torchvision: 1e-3)."""

INITIAL_STD = 0.01
"""Standard deviation of the initial weights of convolutions in CoCLR."""


STAGES: Mapping[str, tuple[int, ...] | None] = {"blocks": (1, 4, 7, 13, 16), "modules": None}
"""Modules of torchvision's ``features`` before the end of each stage; None: each module is a stage."""


class S3DEncoder(StageChain):
    """S3D for clips [B, channels, T, H, W]; D = 1024·width.

    With ``stages = "blocks"`` the stages are the five resolution blocks (CoCLR's ``block1`` ... ``block5``; section 4
    of the method), with ``"modules"`` torchvision's 16 modules, pools included. The weights are the same.

    At width 1 and three channels the state dict is that of ``torchvision.models.video.s3d().features``. A smaller
    ``width`` multiplies every channel count; the blocks stay torchvision's. Inputs need T >= 8 and H, W >= 32.
    BatchNorm is that of CoCLR (eps 1e-5, momentum 0.1): with torchvision's momentum of 0.001 the running statistics,
    which a frozen partner uses, stay near their initial values in a short run.
    """

    def __init__(
        self, channels: int = 3, width: float = 1.0, batch_norm_momentum: float = 0.1, stages: str = "blocks"
    ) -> None:
        features = torchvisions(channels, width, partial(PlanarBatchNorm3d, momentum=batch_norm_momentum))
        in_planes(features)
        feature_size = sum(scaled(branch, width) for branch in (384, 384, 128, 128))
        super().__init__(list(features), feature_size=feature_size, cuts=STAGES[stages])


def build_s3d(settings: ModalitySettings, layout: SkeletonLayout | None = None) -> S3DEncoder:
    """S3D with the settings of a recipe; it has no graph."""
    del layout
    encoder = S3DEncoder(settings.channels, settings.width, settings.batch_norm_momentum, settings.stages)
    return encoder.apply(_normal) if settings.init == "normal" else encoder


def _normal(module: nn.Module) -> None:
    """Initialise a convolution as CoCLR does."""
    if isinstance(module, nn.Conv3d):
        nn.init.normal_(module.weight, std=INITIAL_STD)


def torchvisions(channels: int, width: float, norm: Callable[..., nn.BatchNorm3d]) -> nn.Sequential:
    """``torchvision.models.video.s3d().features`` with every channel count times ``width``, in layers of torch."""
    norm = partial(norm, eps=BATCH_NORM_EPS)
    features: nn.Sequential = S3D(norm_layer=norm).features if width == 1 else _narrow_features(width, norm)
    if channels != 3 or width != 1:
        features[0] = TemporalSeparableConv(channels, scaled(64, width), 7, 2, 3, norm_layer=norm)
    return features


def _narrow_features(width: float, norm: Callable[..., nn.BatchNorm3d]) -> nn.Sequential:
    """The modules of torchvision's S3D with every channel count times ``width``."""
    stem, middle = scaled(64, width), scaled(192, width)
    blocks, channels = [], middle
    for row in _INCEPTION:
        blocks.append(SepInceptionBlock3D(channels, *(scaled(c, width) for c in row), norm))
        channels = sum(scaled(row[branch], width) for branch in _BRANCHES)
    return nn.Sequential(
        nn.Identity(),  # the first convolution depends on the input's channels
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        Conv3dNormActivation(stem, stem, 1, 1, norm_layer=norm),
        TemporalSeparableConv(stem, middle, 3, 1, 1, norm_layer=norm),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        *blocks[:2],
        nn.MaxPool3d(3, 2, 1),
        *blocks[2:7],
        nn.MaxPool3d(2, 2, 0),
        *blocks[7:],
    )
