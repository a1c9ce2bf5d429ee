"""Joints that were not found are filled in time or masked, and never become outliers."""

import numpy as np
import pytest
from attrs import evolve

from tests.fakes.skeletons import FIVE
from vimix.values.errors import VimixError
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.bodies import chosen_persons
from vimix_adapters.skeletons.preprocess import filled, preprocessed
from vimix_adapters.skeletons.sequence import RawSequence, frames_between, raw_sequence

HOW = SkeletonSettings(FIVE, frames=20, persons=1, align="none")
REST = np.array([[300, 100], [350, 150], [250, 150], [300, 260], [300, 400]], dtype=float)
"""Chest (the centre), hands, hip and foot in pixels."""


def walk(seed: int = 0) -> np.ndarray:
    """Pixels [20, 5, 2] of a body that drifts slowly."""
    steps = np.random.default_rng(seed).normal(scale=0.5, size=(20, 1, 2))
    return REST + steps.cumsum(axis=0)


def recorded(joints: np.ndarray, scores: np.ndarray | None = None) -> RawSequence:
    zeros = np.zeros(len(joints), dtype=int)
    return raw_sequence(np.arange(len(joints)), zeros, zeros, joints, scores)


def gap(joints: np.ndarray, how: str) -> RawSequence:
    """Lose the left hand in the frames 8 to 11 and the chest in frame 15, in one of the ways of pose estimators."""
    lost, scores = joints.copy(), np.full(joints.shape[:2], 0.9)
    for place in ((slice(8, 12), 1), (15, 0)):
        if how == "score":
            scores[place] = 0
        else:
            lost[place] = 0 if how == "zero" else np.nan
    return recorded(lost, scores if how == "score" else None)


@pytest.mark.parametrize("how", ["zero", "nan", "score"])
def test_a_joint_that_is_lost_for_some_frames_is_interpolated_and_moves_no_farther_than_before(how) -> None:
    joints = walk()
    found = preprocessed(gap(joints, how), HOW)[..., 0, :]
    whole = preprocessed(recorded(joints), HOW)[..., 0, :]
    assert np.abs(found[..., :2] - whole).max() < 4
    assert np.abs(np.diff(found[..., :2], axis=0)).max() < 4
    untouched = np.setdiff1d(np.arange(20), [8, 9, 10, 11, 15])
    np.testing.assert_allclose(found[untouched, :, :2], whole[untouched], atol=1e-4)
    centre = (joints[14, 0] + joints[16, 0]) / 2
    np.testing.assert_allclose(found[15, 3, :2], joints[15, 3] - centre, atol=1e-4)
    hand = np.stack([np.interp(range(8, 12), [7, 12], joints[[7, 12], 1, axis]) for axis in (0, 1)], 1)
    np.testing.assert_allclose(found[8:12, 1, :2], hand - joints[8:12, 0], atol=1e-4)
    if how == "score":
        assert (found[8:12, 1, 2] == 0).all()
        np.testing.assert_allclose(found[untouched, :, 2], 0.9)


def test_a_masked_joint_is_nan_and_all_others_are_as_when_filled() -> None:
    filled_in, masked = (preprocessed(gap(walk(), "zero"), evolve(HOW, not_found=way)) for way in ("fill", "mask"))
    absent = np.isnan(masked).any(axis=-1)
    assert set(zip(*np.nonzero(absent)[:2], strict=True)) == {(8, 1), (9, 1), (10, 1), (11, 1), (15, 0)}
    np.testing.assert_array_equal(masked[~absent], filled_in[~absent])


def test_before_the_first_and_after_the_last_sight_a_joint_rests() -> None:
    joints = walk()
    lost = joints.copy()
    lost[:3, 4] = lost[17:, 4] = np.nan
    found = filled(lost[:, None], FIVE)[:, 0]
    np.testing.assert_array_equal(found[:3, 4], [joints[3, 4]] * 3)
    np.testing.assert_array_equal(found[17:, 4], [joints[16, 4]] * 3)


def test_a_joint_that_is_never_seen_lies_on_its_nearest_neighbour_and_a_centre_takes_its_neighbours_place() -> None:
    joints = walk()
    for lost, neighbour in (([4], 3), ([3, 4], 0), ([0], 1)):
        missing = joints.copy()
        missing[:, lost] = np.nan
        found = filled(missing[:, None], FIVE)[:, 0]
        for joint in lost:
            np.testing.assert_array_equal(found[:, joint], joints[:, neighbour])
    missing = joints.copy()
    missing[:, 0] = np.nan
    found = preprocessed(recorded(missing), HOW)[:, :, 0]
    np.testing.assert_allclose(found[:, 1:], joints[:, 1:] - joints[:, 1:2], atol=1e-4)
    assert not found[:, 0].any()


def test_each_person_is_filled_from_the_frames_in_which_it_is_there() -> None:
    """The second person comes in frame 10; its foot is not seen in frame 12."""
    first, second = walk(), walk(1) + 100
    bodies = np.zeros((20, 2, 5, 2))
    bodies[:, 0], bodies[10:, 1] = first, second[10:]
    bodies[12, 1, 4] = np.nan
    found = filled(bodies, FIVE)
    assert not found[:10, 1].any()
    np.testing.assert_allclose(found[12, 1, 4], (second[11, 4] + second[13, 4]) / 2)
    np.testing.assert_array_equal(found[:, 0], first)


def test_where_all_joints_were_found_nothing_changes() -> None:
    bodies = walk()[:, None]
    assert filled(bodies, FIVE) is bodies


def test_a_recording_that_was_centred_before_keeps_its_centre() -> None:
    joints = walk() - walk()[:, :1]
    raw = recorded(joints)
    assert np.isfinite(raw.joints).all()
    np.testing.assert_allclose(preprocessed(raw, HOW)[:, :, 0], joints, atol=1e-4)


def test_persons_are_chosen_by_what_was_found_of_them() -> None:
    """A joint that jumps to 0 0 would make the resting body the one that moves most."""
    rest, moving = np.tile(REST, (20, 1, 1)), REST + np.arange(20)[:, None, None]
    rest[::2, 4] = 0
    seen = moving.copy()
    seen[1::4, 3] = 0
    bodies = np.stack([rest, seen], 1).reshape(-1, 5, 2)
    numbers, frames = np.tile([7, 8], 20), np.repeat(np.arange(20), 2)
    raw = raw_sequence(frames, numbers, numbers - 7, bodies)
    for denoise in ("energy", "pyskl"):
        found = filled(chosen_persons(raw, 1, denoise), FIVE)
        np.testing.assert_allclose(found[:, 0], moving)


def test_frames_are_cut_out_of_a_recording() -> None:
    raw = frames_between(recorded(walk()), 5, 9)
    assert raw.frame.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(raw.joints, walk()[5:9])
    with pytest.raises(VimixError, match="no body in the frames 20 to 30: the recording ends at 20"):
        frames_between(recorded(walk()), 20, 30)


def test_a_recording_in_which_no_joint_was_found_is_refused() -> None:
    with pytest.raises(VimixError, match="no joint was found"):
        recorded(walk(), np.zeros((20, 5)))
