"""S3D's layers, computed on CUDA by the two-dimensional kernels that give the same.

None of S3D's convolutions reaches over space and time at once, and in channels-last layout a map [B, C, T, H, W] is,
without a copy, also one of pictures [B·T, C, H, W] and one of lines [B, C, T, H·W]. For these cuDNN's convolutions are
the tuned ones, and PyTorch's BatchNorm has kernels for channels-last maps of four axes only: those of five it makes
float32 and reduces by a general routine (``batch_norm_choose_impl`` in its Normalization.cu; 28 % of a step).
On CPUs neither way is faster, and torch's own is taken.
"""

from torch import Tensor, nn
from torch.nn import functional


def planes_are_fast(maps: Tensor) -> bool:
    """Where the two-dimensional kernels are the faster ones."""
    return maps.is_cuda


class PlanarConv3d(nn.Conv3d):
    """A convolution over space [1, k, k] or over time [k, 1, 1]."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W] to [B, C', T', H', W'], channels last if the input is."""
        if not planes_are_fast(input):
            return super().forward(input)
        assert not isinstance(self.padding, str)
        (batch, _, frames, height, width), (stride, *strides), (pad, *pads) = input.shape, self.stride, self.padding
        if _over_space(self):
            pictures = input.transpose(1, 2).flatten(0, 1)
            found = functional.conv2d(pictures, self.weight.squeeze(2), self.bias, strides, pads)
            return found.view(batch, frames, *found.shape[1:]).transpose(1, 2)
        lines = input.flatten(3)
        found = functional.conv2d(lines, self.weight.squeeze(4), self.bias, (stride, 1), (pad, 0))
        return found.view(*found.shape[:3], height, width)


class PlanarBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm over batch, time and space."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W], normalised."""
        if not planes_are_fast(input):
            return super().forward(input)
        return super().forward(input.flatten(2, 3)).view(input.shape)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() != 4:  # its own maps in planes
            super()._check_input_dim(input)


class PlanarMaxPool3d(nn.MaxPool3d):
    """A maximum over space [1, k, k]."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps [B, C, T, H, W] to [B, C, T, H', W']."""
        if not planes_are_fast(input):
            return super().forward(input)  # type: ignore[no-any-return]  # modules return Any
        (_, *kernel), (_, *stride), (_, *pad) = map(_three, (self.kernel_size, self.stride, self.padding))
        found = functional.max_pool2d(input.transpose(1, 2).flatten(0, 1), kernel, stride, pad)
        return found.view(len(input), input.shape[2], *found.shape[1:]).transpose(1, 2)


def in_planes(network: nn.Module) -> None:
    """Give all convolutions and pools of a network that can be computed so this ``forward``; nothing else changes.

    BatchNorms are to be built as ``PlanarBatchNorm3d``.
    """
    for layer in network.modules():
        if type(layer) is nn.Conv3d and (_over_space(layer) or _over_time(layer)):
            layer.__class__ = PlanarConv3d
        elif type(layer) is nn.MaxPool3d and _pools_space(layer):
            layer.__class__ = PlanarMaxPool3d


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
