"""What every flow estimator must do, the fake, DIS, OpenCV's TV-L1 and that in PyTorch alike."""

import numpy as np
import pytest

from tests.fakes.flow import FakeFlow, moving_texture, turn
from vimix_adapters.flow.fields import FlowEstimator
from vimix_adapters.flow.opencv import DisFlow, TvL1Flow
from vimix_adapters.flow.tvl1_torch import TorchTvL1Flow

INSIDE = (slice(10, -10), slice(10, -10))


@pytest.fixture(params=[FakeFlow, DisFlow, TvL1Flow, TorchTvL1Flow])
def estimator(request) -> FlowEstimator:
    return request.param()


def error(flow, true) -> float:
    return float(np.median(np.linalg.norm(flow - true, axis=-1)[INSIDE]))


@pytest.mark.slow
@pytest.mark.parametrize("shift", [(2, 0), (0, -3), (-2, 1), (1.5, 2.5)])
def test_a_shift_is_found_with_its_signs_and_in_pixels(estimator, shift) -> None:
    earlier, later, true = moving_texture((56, 72), np.eye(2), shift)
    flow = estimator(earlier, later)
    assert flow.shape == (56, 72, 2)
    assert flow.dtype == np.float32
    assert error(flow, true) < 0.25


def test_pictures_that_do_not_change_have_no_flow(estimator) -> None:
    picture, _, _ = moving_texture((48, 48), np.eye(2), (0, 0))
    assert np.abs(estimator(picture, picture)).max() < 0.05


@pytest.mark.slow
def test_the_pictures_are_left_as_they_are_and_views_of_larger_ones_are_taken(estimator) -> None:
    earlier, later, _ = moving_texture((48, 64), turn(0), (1, 1))
    whole = [np.pad(picture, 7) for picture in (earlier, later)]
    parts = [picture[7:-7, 7:-7] for picture in whole]
    first = estimator(*parts)
    assert np.array_equal(parts[0], earlier)
    assert np.array_equal(parts[1], later)
    np.testing.assert_allclose(first, estimator(earlier, later), atol=1e-4)


@pytest.mark.slow
def test_a_flow_does_not_depend_on_the_pair_before(estimator) -> None:
    pair = moving_texture((48, 64), np.eye(2), (1, 2))[:2]
    first = estimator(*pair)
    estimator(*moving_texture((20, 30), np.eye(2), (0, 1), seed=1)[:2])  # of another size, too small for some pyramids
    np.testing.assert_allclose(estimator(*pair), first, atol=1e-4)
