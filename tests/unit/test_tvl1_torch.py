"""TV-L1 in PyTorch: as good as OpenCV's on known motion, the same in any batch, its parts against naive versions."""

import cv2
import numpy as np
import pytest
import torch

from tests.fakes.flow import moving_texture, turn
from vimix_adapters.flow.fields import BatchFlowEstimator, flow_fields
from vimix_adapters.flow.opencv import DisFlow, TvL1Flow
from vimix_adapters.flow.tvl1_torch import (
    TorchTvL1Flow,
    _divergence,
    _enlarged,
    _forward_differences,
    _padded,
    _shrunk,
    _warped,
    median_filter,
)

MOTIONS = {
    "shifts": [(turn(0), (2.0, 0.0)), (turn(0), (-1.5, 3.3)), (turn(0), (0.4, -0.6)), (turn(0), (3.0, 3.0))],
    "rotations": [(turn(2), (0.0, 0.0)), (turn(-1.5), (0.5, 0.5)), (turn(3), (0.0, 1.0))],
    "zooms": [(turn(0, 1.03), (0.0, 0.0)), (turn(0, 0.97), (1.0, 0.0)), (turn(1, 1.02), (0.5, 1.0))],
}
exact_remap = pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="before version 5 OpenCV's remap rounds to 1/32 pixel"
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MOTIONS)
def test_known_motion_is_found_as_well_as_by_opencv(kind) -> None:
    """End-point error over the whole picture, borders included, no worse than OpenCV's + 10 %."""
    ours, theirs = [], []
    for seed, (matrix, shift) in enumerate(MOTIONS[kind]):
        earlier, later, true = moving_texture((64, 88), matrix, shift, seed)
        ours.append(np.linalg.norm(TorchTvL1Flow()(earlier, later) - true, axis=-1).mean())
        theirs.append(np.linalg.norm(TvL1Flow()(earlier, later) - true, axis=-1).mean())
    assert np.mean(ours) <= 1.1 * np.mean(theirs)
    assert np.mean(ours) < 0.15


@exact_remap
def test_where_the_motion_is_unambiguous_the_field_is_opencvs() -> None:
    earlier, later, _ = moving_texture((64, 88), turn(-1.5, 0.98), (1, 1))
    difference = np.abs(TorchTvL1Flow()(earlier, later) - TvL1Flow()(earlier, later))
    assert np.median(difference) < 3e-3
    assert difference.mean() < 0.02


@pytest.mark.slow
def test_a_pairs_flow_is_the_same_alone_and_in_any_batch() -> None:
    pairs = [moving_texture((40, 52), turn(angle), (angle, 1.0), seed=3)[:2] for angle in (-1.0, 0.0, 2.0)]
    earlier, later = (np.stack(pictures) for pictures in zip(*pairs, strict=True))
    alone = [TorchTvL1Flow()(*pair) for pair in pairs]
    np.testing.assert_allclose(TorchTvL1Flow().batch(earlier, later), alone, atol=1e-5)
    np.testing.assert_allclose(TorchTvL1Flow(pixels=2 * 40 * 52).batch(earlier, later), alone, atol=1e-5)


@pytest.mark.slow
def test_a_videos_fields_are_computed_in_batches_where_the_estimator_can() -> None:
    assert isinstance(TorchTvL1Flow(), BatchFlowEstimator)
    assert not isinstance(DisFlow(), BatchFlowEstimator)
    frames = np.stack([moving_texture((40, 40), np.eye(2), (1.0 * t, 0))[1] for t in range(4)])
    coloured = np.repeat(frames[..., None], 3, axis=-1)
    fields = flow_fields(coloured, TorchTvL1Flow(), 40, (40, 40), 5.0)
    single = flow_fields(coloured, TorchTvL1Flow().__call__, 40, (40, 40), 5.0)
    assert np.array_equal(fields, single)


@pytest.mark.parametrize("side", [3, 5])
def test_medians_are_opencvs(side) -> None:
    pictures = np.random.default_rng(0).normal(size=(2, 3, 17, 24)).astype(np.float32)
    pictures[0] = np.rint(pictures[0])  # with ties
    found = median_filter(torch.from_numpy(pictures), side).numpy()
    for index in np.ndindex(2, 3):
        assert np.array_equal(found[index], cv2.medianBlur(pictures[index], side))


def test_pyramids_are_opencvs() -> None:
    picture = np.random.default_rng(0).random((45, 63)).astype(np.float32) * 255
    small = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(_shrunk(torch.from_numpy(picture)[None], 0.8)[0].numpy(), small, atol=1e-2)
    back = cv2.resize(small, (63, 45), interpolation=cv2.INTER_LINEAR)
    field = torch.from_numpy(np.stack([small, small]))[:, None]
    np.testing.assert_allclose(_enlarged(field, torch.Size((45, 63)))[1, 0].numpy(), back, atol=1e-2)


@exact_remap
def test_warping_is_opencvs_remap_and_zero_outside() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.random((24, 30)).astype(np.float32) * 255, (0, 0), 1.0)
    field = rng.normal(0, 3, (2, 24, 30)).astype(np.float32)
    y, x = np.mgrid[0:24, 0:30].astype(np.float32)
    expected = cv2.remap(picture, x + field[0], y + field[1], cv2.INTER_CUBIC)
    found = _warped(_padded(torch.from_numpy(picture)[None, None]), torch.from_numpy(field)[:, None])[0, 0].numpy()
    # Older versions of OpenCV round places to 1/32 pixel.
    assert np.abs(found - expected).max() < 0.05 * np.abs(np.gradient(picture)).max() + 0.05


def test_warping_by_nothing_changes_nothing_at_all() -> None:
    picture = torch.rand(1, 1, 48, 61) * 255
    assert torch.equal(_warped(_padded(picture), torch.zeros(2, 1, 48, 61)), picture)


def test_divergence_is_minus_the_adjoint_of_the_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    u = torch.randn(2, 1, 7, 9, generator=rng, dtype=torch.float64)
    p = torch.randn(2, 2, 1, 7, 9, generator=rng, dtype=torch.float64)
    p[0][..., -1] = 0  # as the algorithm keeps them
    p[1][..., -1, :] = 0
    left, right = (_forward_differences(u) * p).sum(), (u * _divergence(p)).sum()
    assert left.item() == pytest.approx(-right.item())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_field_is_that_of_the_cpu() -> None:
    pairs = [moving_texture((64, 88), turn(angle), (1.0, angle), seed=2)[:2] for angle in (-1.0, 0.5, 2.0)]
    earlier, later = (np.stack(pictures) for pictures in zip(*pairs, strict=True))
    difference = np.abs(TorchTvL1Flow("cuda").batch(earlier, later) - TorchTvL1Flow("cpu").batch(earlier, later))
    assert difference.mean() < 0.03
