"""S3D's layers give the same through two-dimensional kernels, as they are computed on CUDA."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision.models.video import s3d
from torchvision.models.video.resnet import Conv3DSimple

from vimix_adapters.encoders import planar
from vimix_adapters.encoders.s3d import S3DEncoder

LAYERS = {
    "stem": nn.Conv3d(3, 8, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
    "stem, over time": nn.Conv3d(3, 8, (7, 1, 1), (2, 1, 1), (3, 0, 0), bias=False),
    "space": nn.Conv3d(3, 8, (1, 3, 3), 1, (0, 1, 1)),
    "time": nn.Conv3d(3, 8, (3, 1, 1), 1, (1, 0, 0)),
    "one by one": nn.Conv3d(3, 8, 1),
    "uneven": nn.Conv3d(3, 8, (1, 3, 5), (1, 2, 1), (0, 1, 2)),
    "thinned out in time": nn.Conv3d(3, 8, 1, (2, 1, 1)),
    "pool": nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
}
NOT_PLANAR = {
    "space and time": nn.Conv3d(3, 8, 3),
    "grouped": nn.Conv3d(3, 6, 1, groups=3),
    "dilated": nn.Conv3d(3, 8, (1, 3, 3), dilation=(1, 2, 2)),
    "mirrored": nn.Conv3d(3, 8, (1, 3, 3), padding=(0, 1, 1), padding_mode="reflect"),
    "same": nn.Conv3d(3, 8, (1, 3, 3), padding="same"),
}
THREE_DIMENSIONAL_POOLS = {
    "over time": nn.MaxPool3d(3, 2, 1),
    "of every second frame": nn.MaxPool3d((1, 2, 2), 2),
    "rounded up": nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True),
}


@pytest.fixture
def in_planes(monkeypatch) -> None:
    """As on CUDA."""
    monkeypatch.setattr(planar, "planes_are_fast", lambda _: True)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def through(layer: nn.Module, maps: torch.Tensor) -> list[torch.Tensor]:
    """The layer's output, then the gradients of a weighted sum of it by the input and by the parameters."""
    maps = maps.detach().requires_grad_()
    out = layer(maps)
    gradients = torch.autograd.grad((out * drawn(*out.shape)).sum(), [maps, *layer.parameters()])
    return [out, *gradients]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format])
@pytest.mark.parametrize("name", list(LAYERS))
def test_a_layer_and_its_gradients_are_those_of_torch(in_planes, name, layout) -> None:
    plain = deepcopy(LAYERS[name]).double().to(memory_format=layout)
    maps = drawn(2, 3, 8, 12, 9).contiguous(memory_format=layout)
    ours = nn.Sequential(deepcopy(plain))
    planar.in_planes(ours)
    assert type(ours[0]) is not type(plain)
    found = through(ours, maps)
    same(found, through(plain, maps))
    if layout == torch.channels_last_3d:
        assert found[0].is_contiguous(memory_format=layout), "the next layer is fast too"
        assert found[1].is_contiguous(memory_format=layout)


SHORT = {
    "time, two frames": (planar.in_planes, nn.Conv3d(8, 8, (3, 1, 1), 1, (1, 0, 0)), 2),
    "stem, four frames": (planar.in_planes, nn.Conv3d(8, 8, (7, 1, 1), (2, 1, 1), (3, 0, 0)), 4),
    "time, two frames, of a ResNet": (planar.pad_short_clips, nn.Conv3d(8, 8, (3, 1, 1), 1, (1, 0, 0)), 2),
    "space and time": (planar.pad_short_clips, Conv3DSimple(8, 8), 2),
}


def leave_nan_in_freed_memory() -> None:
    freed = [torch.full((2**size,), torch.nan) for size in range(6, 20) for _ in range(12)]
    del freed


@pytest.mark.parametrize("name", list(SHORT))
def test_gradients_of_clips_shorter_than_the_kernel_are_right_in_bfloat16(name) -> None:
    """On CPUs with bfloat16 torch's own convolution leaves a part of the weights' gradient as it was in memory."""
    change, plain, frames = SHORT[name]
    ours = nn.Sequential(deepcopy(plain)).to(memory_format=torch.channels_last_3d)
    change(ours)
    maps = drawn(4, 8, frames, 3, 3).float().contiguous(memory_format=torch.channels_last_3d)
    weights = drawn(*plain(maps).shape).float()
    (expected,) = torch.autograd.grad((plain(maps) * weights).sum(), [plain.weight])
    for _ in range(8):
        leave_nan_in_freed_memory()
        with torch.autocast("cpu", torch.bfloat16):
            out = ours(maps)
        assert out.dtype == torch.bfloat16
        (found,) = torch.autograd.grad((out * weights).sum(), [ours[0].weight])
        assert float((found - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("name", list(NOT_PLANAR))
def test_what_is_not_planar_stays_as_it_is(name) -> None:
    layer = nn.Sequential(deepcopy(NOT_PLANAR[name]))
    planar.in_planes(layer)
    assert type(layer[0]) is type(NOT_PLANAR[name])


@pytest.mark.parametrize("name", list(THREE_DIMENSIONAL_POOLS))
def test_a_pool_that_is_not_planar_is_computed_by_torch_in_the_maps_precision(in_planes, name) -> None:
    plain, maps = THREE_DIMENSIONAL_POOLS[name], drawn(2, 3, 8, 12, 9)
    ours = nn.Sequential(deepcopy(plain))
    planar.in_planes(ours)
    same(through(ours, maps), through(plain, maps))
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(maps.bfloat16()).dtype == torch.bfloat16


def test_batch_norm_and_its_running_statistics_are_those_of_torch(in_planes) -> None:
    plain, ours = nn.BatchNorm3d(3).double(), planar.PlanarBatchNorm3d(3).double()
    maps = (2 + 3 * drawn(2, 3, 8, 12, 9)).contiguous(memory_format=torch.channels_last_3d)
    for training in (True, False):
        found = through(ours.train(training), maps)
        same(found, through(plain.train(training), maps))
        assert found[0].is_contiguous(memory_format=torch.channels_last_3d)
    same(list(ours.buffers()), list(plain.buffers()))


def test_the_whole_of_s3d_is_the_same_and_nearly_all_of_it_planar(monkeypatch) -> None:
    encoder = S3DEncoder(width=0.125).double().to(memory_format=torch.channels_last_3d)
    clips = drawn(2, 3, 32, 32, 32).contiguous(memory_format=torch.channels_last_3d)

    def whole(network: S3DEncoder) -> list[torch.Tensor]:
        out = network.partial_forward(clips, 0, network.depth)
        return [out, *torch.autograd.grad(out.square().sum(), list(network.parameters()))]

    other = deepcopy(encoder)
    theirs = whole(encoder)
    monkeypatch.setattr(planar, "planes_are_fast", lambda _: True)
    rounding = 1e-12 * max(float(tensor.detach().abs().max()) for tensor in theirs)  # some gradients are nothing else
    for one, another in zip(whole(other), theirs, strict=True):
        torch.testing.assert_close(one, another, rtol=1e-8, atol=rounding)
    same(list(other.buffers()), list(encoder.buffers()))
    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv3d)]
    assert convolutions
    assert all(isinstance(layer, planar.PlanarConv3d) for layer in convolutions)
    pools = [layer for layer in encoder.modules() if isinstance(layer, nn.MaxPool3d)]
    assert all(isinstance(layer, planar.PlanarMaxPool3d) for layer in pools)


def test_the_first_weights_are_those_that_torchvision_draws() -> None:
    torch.manual_seed(7)
    theirs = s3d().features.state_dict()
    torch.manual_seed(7)
    ours = S3DEncoder().features.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
