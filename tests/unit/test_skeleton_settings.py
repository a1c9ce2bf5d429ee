"""Settings of a store of skeletons: what it holds, what it refuses, and that old stores keep their fingerprint."""

import numpy as np
import pytest
from attrs import asdict

from tests.fakes.skeletons import FIVE
from vimix.values.errors import VimixError
from vimix.values.modality import BONE, JOINT, MOTION
from vimix_adapters.clips.hdf5 import settings_of
from vimix_adapters.clips.hdf5_head import fingerprint
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.reports.sticks import stick_figures

OLD = {
    "layout": asdict(FIVE),
    "frames": 50,
    "persons": 2,
    "denoise": "none",
    "align": "shoulders",
}
"""Settings in the head of a store that was made before stores had channels."""


def test_formats_have_the_channels_of_the_store() -> None:
    settings = SkeletonSettings(FIVE, align="none", channels=("x", "y", "score"), not_found="mask")
    assert {(kind.channels, kind.score) for kind in settings.formats.values()} == {(3, True)}
    assert set(settings.formats) == {JOINT, MOTION, BONE}
    assert SkeletonSettings(FIVE, align="none", channels=["x", "y"]).formats[JOINT].channels == 2
    assert settings_of(asdict(settings)) == settings


def test_stores_of_before_keep_settings_and_fingerprint() -> None:
    settings = settings_of(OLD)
    assert (settings.channels, settings.not_found) == (("x", "y", "z"), "fill")
    assert fingerprint(asdict(settings), [], [], ["a"], {}) == fingerprint(OLD, [], [], ["a"], {})
    masked = {**OLD, "not_found": "mask"}
    assert fingerprint(masked, [], [], ["a"], {}) != fingerprint(OLD, [], [], ["a"], {})


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(VimixError, match="--align shoulders turns joints x y z"):
        SkeletonSettings(FIVE, channels=("x", "y"))
    with pytest.raises(ValueError, match="channels"):
        SkeletonSettings(FIVE, channels=("x", "score"))


def test_a_picture_leaves_out_masked_joints_and_stands_upright() -> None:
    """The chest and both hands are above the hip and the foot."""
    joints = np.array([[0, 2], [-1, 1.5], [1, 1.5], [0, 1], [0, 0]], dtype=np.float32)[None, :, None]
    up, down = stick_figures(joints, FIVE)[0], stick_figures(joints, FIVE, down=True)[0]
    above, below = ([(half < 255).sum() for half in (x[:48], x[48:])] for x in (up, down))
    assert above[0] > above[1]
    assert below[0] < below[1]
    masked = joints.copy()
    masked[0, 4] = np.nan
    drawn = [(stick_figures(x, FIVE)[0] < 255).any(axis=2).sum() for x in (joints, masked)]
    assert 0 < drawn[1] < drawn[0]
    assert (stick_figures(np.full_like(joints, np.nan), FIVE) == 255).all()
