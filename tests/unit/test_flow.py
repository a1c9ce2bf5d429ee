"""Optical flow is stored as a vector field."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.flow import moving_texture
from vimix.values.errors import VimixError
from vimix_adapters.flow.fields import dequantise, flow_fields, quantise, resized
from vimix_adapters.flow.opencv import DisFlow, create_tvl1


@given(st.floats(-30, 30, width=32), st.floats(1, 40))
def test_quantised_flow_is_clipped_and_within_half_a_level(value, bound) -> None:
    field = np.full((1, 1, 2), value, dtype=np.float32)
    back = dequantise(quantise(field, bound), bound)
    expected = np.clip(value, -bound, bound)
    assert np.abs(back - expected).max() <= bound / 255 * 1.001


def test_levels_are_those_of_the_convention() -> None:
    """round((f + 20)·255/40), CoCLR's."""
    field = np.array([[[-20.0, 20.0], [0.0, 1.0]]], dtype=np.float32)
    assert quantise(field, 20.0).tolist() == [[[0, 255], [128, 134]]]


def test_resizing_a_field_scales_its_vectors_by_the_same_factors() -> None:
    field = np.ones((10, 20, 2), dtype=np.float32)
    small = resized(field, (5, 5))
    assert small.shape == (5, 5, 2)
    np.testing.assert_allclose(small[..., 0], 0.25)
    np.testing.assert_allclose(small[..., 1], 0.5)


def test_a_video_has_a_field_a_frame_with_the_last_one_repeated() -> None:
    pictures = np.stack([moving_texture((64, 96), np.eye(2), (2 * t, 0))[1] for t in range(4)])
    frames = np.repeat(pictures[..., None], 3, axis=-1)
    fields = flow_fields(frames, DisFlow(), short_side=64, size=(32, 48), bound=4.0)
    assert fields.shape == (4, 32, 48, 2)
    assert np.array_equal(fields[3], fields[2])
    u = dequantise(fields, 4.0)[:, 8:-8, 8:-8, 0]
    assert np.median(u) == pytest.approx(1.0, abs=0.15)  # two pixels, at half the size


def test_a_single_frame_stands_still() -> None:
    fields = flow_fields(np.zeros((1, 16, 16, 3), np.uint8), DisFlow(), 16, (16, 16), 20.0)
    assert fields.shape == (1, 16, 16, 2)
    assert (fields == 128).all()


def test_an_opencv_without_tvl1_says_what_to_install() -> None:
    with pytest.raises(VimixError, match="opencv-contrib-python-headless"):
        create_tvl1(SimpleNamespace())
