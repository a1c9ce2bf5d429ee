"""Convolutions, pools and BatchNorms that avoid slow or wrong kernels of the device; the results are torch's.

On CUDA, S3D's layers compute with two-dimensional kernels. On CPUs, convolutions of S3D and the ResNets write their
padding out where a clip is shorter than the kernel (see ``PaddedConv3d``).

No convolution of S3D spans space and time, and in channels-last layout a map [B, C, T, H, W] is, without a copy, also
a map of pictures [B·T, C, H, W] and of lines [B, C, T, H·W]. cuDNN's convolutions are tuned for these. PyTorch's
BatchNorm has channels-last kernels for maps of four axes only; maps of five it converts to float32 and reduces with a
general routine (``batch_norm_choose_impl`` in its Normalization.cu; 28 % of a step). On CPUs neither is faster, and the
layers of torch are used.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def planes_are_fast(maps: Tensor) -> bool:
    """Whether the two-dimensional kernels are faster for these maps."""
    return maps.is_cuda


class PaddedConv3d(nn.Conv3d):
    """A convolution that is right for clips shorter than its kernel too.

    There oneDNN (3.13, in torch 2.15) leaves a part of the weights' gradient uninitialised on CPUs that compute in
    bfloat16. Written out, the zeros of the padding make the clip as long as the kernel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W] to [B, C', T', H', W']."""
        if input.shape[2] >= self.kernel_size[0] or input.is_cuda or not torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        assert not isinstance(self.padding, str)
        time, *space = self.padding
        padded = functional.pad(input, (0, 0, 0, 0, time, time))
        return functional.conv3d(padded, self.weight, self.bias, self.stride, (0, *space), self.dilation, self.groups)


class PlanarConv3d(PaddedConv3d):
    """A convolution over space [1, k, k] or over time [k, 1, 1]."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W] to [B, C', T', H', W'], channels last if the input is."""
        if not planes_are_fast(input):
            return super().forward(input)
        assert not isinstance(self.padding, str)
        (batch, _, frames, height, width), (stride, *strides), (pad, *pads) = input.shape, self.stride, self.padding
        if _over_space(self):
            pictures = input.transpose(1, 2).flatten(0, 1)
            planes = functional.conv2d(pictures, self.weight.squeeze(2), self.bias, strides, pads)
            return planes.view(batch, frames, *planes.shape[1:]).transpose(1, 2)
        lines = input.flatten(3)
        planes = functional.conv2d(lines, self.weight.squeeze(4), self.bias, (stride, 1), (pad, 0))
        return planes.view(*planes.shape[:3], height, width)


class PlanarBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm over batch, time and space."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W], normalised."""
        if not planes_are_fast(input):
            return super().forward(input)
        return super().forward(input.flatten(2, 3)).view(input.shape)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:  # maps of four axes come from forward
            super()._check_input_dim(input)


class PlanarMaxPool3d(nn.MaxPool3d):
    """A maximum over space [1, k, k], which has a two-dimensional kernel, or over space and time.

    On CPUs autocast would convert the maps to float32 and back; a maximum needs no precision.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W] to [B, C, T', H', W'] of the same dtype."""
        if not (planes_are_fast(input) and _pools_space(self)):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input)  # type: ignore[no-any-return]  # modules return Any
        (_, *kernel), (_, *stride), (_, *pad) = map(_three, (self.kernel_size, self.stride, self.padding))
        planes = functional.max_pool2d(input.transpose(1, 2).flatten(0, 1), kernel, stride, pad)
        return planes.view(len(input), input.shape[2], *planes.shape[1:]).transpose(1, 2)


def in_planes(network: nn.Module) -> None:
    """Make planar the pools of a network and all convolutions that can be, in place; parameters keep their names.

    BatchNorms have to be built as ``PlanarBatchNorm3d``.
    """
    for layer in network.modules():
        if type(layer) is nn.Conv3d and (_over_space(layer) or _over_time(layer)):
            layer.__class__ = PlanarConv3d
        elif type(layer) is nn.MaxPool3d:
            layer.__class__ = PlanarMaxPool3d


def pad_short_clips(network: nn.Module) -> None:
    """Make all convolutions of a network right for clips shorter than their kernels, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            layer.__class__ = PaddedConv3d


def _over_space(layer: nn.Conv3d) -> bool:
    return (layer.kernel_size[0], layer.stride[0], layer.padding[0]) == (1, 1, 0) and _plain(layer)


def _over_time(layer: nn.Conv3d) -> bool:
    return layer.kernel_size[1:] == layer.stride[1:] == (1, 1) and layer.padding[1:] == (0, 0) and _plain(layer)


def _plain(layer: nn.Conv3d) -> bool:
    return layer.dilation == (1, 1, 1) and layer.groups == 1 and layer.padding_mode == "zeros"


def _pools_space(layer: nn.MaxPool3d) -> bool:
    in_time = tuple(_three(size)[0] for size in (layer.kernel_size, layer.stride, layer.padding))
    return in_time == (1, 1, 0) and layer.dilation == 1 and not (layer.ceil_mode or layer.return_indices)


def _three(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size, size, size) if isinstance(size, int) else size
