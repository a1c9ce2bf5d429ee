"""The 18-layer ResNets of Tran et al. 2018 (R3D, MC3, R(2+1)D), in torchvision's layers, as chains of five stages."""

from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.encoder_settings import ModalitySettings
from vimix_adapters.encoders.chain import StageChain, scaled
from vimix_adapters.encoders.planar import pad_short_clips

PLANES = (64, 128, 256, 512)
"""Channels of the four layers, of two blocks each."""

Convolution = type[Conv3DSimple | Conv3DNoTemporal | Conv2Plus1D]
Stem = Callable[[int, float], nn.Sequential]
"""Makes the stem for a number of input channels and a width."""


class ResNetEncoder(StageChain):
    """Stem and four layers for clips [B, channels, T, H, W] of any size; D = 512·width.

    ``convolutions`` are those of the four layers. At width 1 and three channels the parameters are those of
    torchvision's network, with the names ``stem`` and ``layer1`` ... ``layer4`` written ``features.0`` ...
    ``features.4``. A smaller ``width`` multiplies every channel count.
    """

    def __init__(
        self,
        stem: Stem,
        convolutions: Sequence[Convolution],
        channels: int,
        width: float,
        batch_norm_momentum: float,
    ) -> None:
        sizes = [scaled(size, width) for size in (PLANES[0], *PLANES)]
        layers = [
            _layer(convolution, incoming, planes, stride=1 if number == 0 else 2)
            for number, (convolution, incoming, planes) in enumerate(
                zip(convolutions, sizes[:-1], sizes[1:], strict=True)
            )
        ]
        super().__init__([stem(channels, width), *layers], feature_size=sizes[-1])
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
            elif isinstance(module, nn.BatchNorm3d):
                module.momentum = batch_norm_momentum
        pad_short_clips(self)


def _plain_stem(channels: int, width: float) -> nn.Sequential:
    outgoing = scaled(64, width)
    return nn.Sequential(*_normed(channels, outgoing, (3, 7, 7), (1, 2, 2)))


def _factored_stem(channels: int, width: float) -> nn.Sequential:
    middle, outgoing = scaled(45, width), scaled(64, width)
    space = _normed(channels, middle, (1, 7, 7), (1, 2, 2))
    return nn.Sequential(*space, *_normed(middle, outgoing, (3, 1, 1), (1, 1, 1)))


def _normed(
    incoming: int, outgoing: int, kernel: tuple[int, int, int], stride: tuple[int, int, int]
) -> tuple[nn.Module, ...]:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = nn.Conv3d(incoming, outgoing, kernel, stride, padding, bias=False)
    return convolution, nn.BatchNorm3d(outgoing), nn.ReLU(inplace=True)


def _layer(convolution: Convolution, incoming: int, planes: int, stride: int) -> nn.Sequential:
    """Two blocks; the first changes the size, and then its shortcut has a convolution too."""
    shortcut = None
    if stride != 1 or incoming != planes:
        strides = convolution.get_downsample_stride(stride)
        shortcut = nn.Sequential(nn.Conv3d(incoming, planes, 1, strides, bias=False), nn.BatchNorm3d(planes))
    first = BasicBlock(incoming, planes, convolution, stride, shortcut)
    return nn.Sequential(first, BasicBlock(planes, planes, convolution))


NETWORKS: Mapping[str, tuple[Stem, Sequence[Convolution]]] = {
    "r3d_18": (_plain_stem, [Conv3DSimple] * 4),
    "mc3_18": (_plain_stem, [Conv3DSimple, *[Conv3DNoTemporal] * 3]),
    "r2plus1d_18": (_factored_stem, [Conv2Plus1D] * 4),
}
"""Stem and convolutions of the four layers by the name of the encoder.

R3D convolves 3 x 3 x 3 throughout, MC3 in the stem and the first layer, then 1 x 3 x 3, and R(2+1)D 1 x 3 x 3, then
3 x 1 x 1.
"""


def build_resnet(settings: ModalitySettings, layout: SkeletonLayout | None = None) -> StageChain:
    """The network that the settings name; it has no graph."""
    del layout
    stem, convolutions = NETWORKS[settings.encoder]
    return ResNetEncoder(stem, convolutions, settings.channels, settings.width, settings.batch_norm_momentum)
