"""Views of skeletons: temporal crop, shear, and the streams derived from the result."""

import numpy as np
import pytest
import torch
from attrs import evolve

from tests.fakes.skeletons import FIVE, FakeSkeletonStore, formats
from vimix.values.modality import BONE, JOINT, MOTION
from vimix_adapters.clips.array_store import ArrayStore
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.skeleton_augmentation import SkeletonAugmentation, SkeletonDraw, derived
from vimix_adapters.clips.views import CENTRE, TEN_CROPS, ClipShape
from vimix_adapters.config.augment_settings import SkeletonAugmentSettings

KINDS = formats(FIVE)
STORE = FakeSkeletonStore()
CPU = torch.device("cpu")
PICTURES = ClipShape(frames=4, size=8)
"""The clip shape of a recipe, which does not apply to skeletons."""


def naive(joints: np.ndarray, modality: str) -> np.ndarray:
    """Derive a stream of joints [T, V, M, 3] with loops."""
    result = np.zeros_like(joints)
    for t, v, m in np.ndindex(joints.shape[:3]):
        if modality == JOINT:
            result[t, v, m] = joints[t, v, m]
        elif modality == MOTION and t + 1 < len(joints):
            result[t, v, m] = joints[t + 1, v, m] - joints[t, v, m]
        elif modality == BONE and v != FIVE.centre:
            result[t, v, m] = joints[t, v, m] - joints[t, dict(FIVE.edges)[v], m]
    return result


@pytest.mark.parametrize("modality", [JOINT, MOTION, BONE])
def test_a_view_is_cropped_then_sheared_and_only_then_derived(modality) -> None:
    augmentation = SkeletonAugmentation(KINDS[modality])
    views = [augmentation.view(STORE.sequence(i), 8, np.random.default_rng(i)) for i in range(4)]
    found = augmentation.apply(torch.stack([view.clip for view in views]), [view.draw for view in views])
    assert (found.shape, found.dtype) == ((4, 3, 12, 5, 2), torch.float32)
    for i, view in enumerate(found):
        rng = np.random.default_rng(i)
        padded = np.pad(STORE.sequence(i), ((2, 2), (0, 0), (0, 0), (0, 0)), mode="symmetric")
        start = rng.integers(5)
        s = rng.uniform(-0.5, 0.5, 6)
        matrix = np.array([[1, s[0], s[1]], [s[2], 1, s[3]], [s[4], s[5], 1]])
        sheared = np.array([[[matrix @ xyz for xyz in row] for row in frame] for frame in padded[start : start + 12]])
        np.testing.assert_allclose(view.permute(1, 2, 3, 0).numpy(), naive(sheared, modality), atol=1e-5)


def test_all_starts_of_the_temporal_crop_occur_and_none_without_padding() -> None:
    sequence = np.arange(12, dtype=np.float32).reshape(12, 1, 1, 1).repeat(3, axis=3)
    firsts = [
        SkeletonAugmentation(KINDS[JOINT]).view(sequence, 8, np.random.default_rng(i)).clip[0, 0, 0, 0]
        for i in range(60)
    ]
    assert {int(first) for first in firsts} == {1, 0, 2}
    still = SkeletonAugmentation(KINDS[JOINT], SkeletonAugmentSettings(shear=0.0, padding_ratio=0))
    view = still.view(sequence, 8, np.random.default_rng(0))
    assert torch.equal(view.clip, torch.from_numpy(sequence))
    assert view.draw == SkeletonDraw()


def test_evaluation_sees_the_whole_sequence_once_without_augmentation() -> None:
    for modality in (JOINT, MOTION, BONE):
        for crops in ((CENTRE,), TEN_CROPS):
            clips = WindowedClips(
                STORE, (1, 3), modality=modality, clip=PICTURES, window_stride=2, device=CPU, crops=crops
            )
            videos = list(clips.videos())
            assert [(video.video, video.starts) for video in videos] == [(1, (0,)), (3, (0,))]
            for video in videos:
                expected = naive(STORE.sequence(video.video), modality).transpose(3, 0, 1, 2)
                np.testing.assert_allclose(video.clips[0].numpy(), expected, atol=1e-6)
    memory = ArrayStore(STORE.sequence(3), KINDS[BONE])
    (alone,) = WindowedClips(memory, (0,), modality=BONE, clip=PICTURES, window_stride=2, device=CPU).videos()
    assert torch.equal(alone.clips, videos[1].clips)


def test_deriving_leaves_its_input_alone() -> None:
    joints = torch.randn(2, 3, 4, 5, 1)
    before = joints.clone()
    for kind in KINDS.values():
        assert derived(joints, kind).shape == joints.shape
    assert torch.equal(joints, before)
    plain = SkeletonAugmentation(KINDS[JOINT]).plain(joints.permute(0, 2, 3, 4, 1), SkeletonDraw())
    assert torch.equal(plain, before)


def loader(workers: int = 0, seed: int = 0, **views: int) -> TrainingLoader:
    return TrainingLoader(
        STORE,
        "all",
        views=views,
        clip=PICTURES,
        batch=4,
        seed=seed,
        augmentations={modality: SkeletonAugmentation(kind) for modality, kind in KINDS.items()},
        device=CPU,
        workers=workers,
    )


def test_batches_of_several_streams_do_not_depend_on_workers() -> None:
    views = {JOINT: 2, MOTION: 1, BONE: 1}
    alone, helped = (list(loader(workers, **views).batches(1)) for workers in (0, 2))
    assert len(alone) == len(helped) == 2
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.videos, other.videos)
        assert {modality: len(tensors) for modality, tensors in one.views.items()} == views
        for modality in views:
            assert all(map(torch.equal, one.views[modality], other.views[modality]))


def test_each_modality_gets_a_view_of_its_own() -> None:
    """As for RGB and flow, the motion view is not derived from the joint view of the same batch."""
    batch = next(loader(**{JOINT: 1, MOTION: 1}).batches(0))
    (joint,), (motion,) = batch.views[JOINT], batch.views[MOTION]
    assert not torch.allclose(derived(joint, KINDS[MOTION]), motion)
    assert not motion[:, :, -1].any()


def test_absent_persons_stay_zero_in_every_view() -> None:
    """An encoder recognises absent persons by their zeros."""
    for batch in loader(**{JOINT: 2, MOTION: 1, BONE: 1}).batches(0):
        absent = batch.videos % 3 != 0
        for views in batch.views.values():
            for view in views:
                assert not view[absent][..., 1].any()
                assert view[~absent][..., 1].any()


FLAT = {modality: evolve(kind, channels=2) for modality, kind in KINDS.items()}
SCORED = {modality: evolve(kind, score=True) for modality, kind in KINDS.items()}


def test_joints_in_the_plane_are_sheared_in_the_plane() -> None:
    sequence = STORE.sequence(0)[..., :2]
    augmentation = SkeletonAugmentation(FLAT[JOINT])
    view = augmentation.view(sequence, 8, np.random.default_rng(3))
    found = augmentation.apply(view.clip[None], [view.draw])[0]
    assert found.shape == (2, 12, 5, 2)
    rng = np.random.default_rng(3)
    start, (above, below) = rng.integers(5), rng.uniform(-0.5, 0.5, 2)
    x, y = np.pad(sequence, ((2, 2), (0, 0), (0, 0), (0, 0)), mode="symmetric")[start : start + 12].transpose(
        3, 0, 1, 2
    )
    np.testing.assert_allclose(found.numpy(), [x + above * y, below * x + y], atol=1e-6)


@pytest.mark.parametrize("modality", [JOINT, MOTION, BONE])
def test_a_score_is_not_sheared_and_that_of_a_difference_is_the_mean_of_both(modality) -> None:
    """As in pyskl's JointToBone and ToMotion."""
    sequence = np.abs(STORE.sequence(0))
    kind = SCORED[modality]
    augmentation = SkeletonAugmentation(kind)
    view = augmentation.view(sequence, 8, np.random.default_rng(0))
    found = augmentation.apply(view.clip[None], [view.draw])[0].numpy()
    flat = SkeletonAugmentation(FLAT[modality])
    drawn = flat.view(sequence[..., :2], 8, np.random.default_rng(0))
    np.testing.assert_allclose(found[:2], flat.apply(drawn.clip[None], [drawn.draw])[0], atol=1e-6)
    scores = view.clip[..., 2].numpy()
    expected = np.zeros_like(scores)
    for t, v, m in np.ndindex(scores.shape):
        if modality == JOINT:
            expected[t, v, m] = scores[t, v, m]
        elif modality == BONE:
            expected[t, v, m] = (scores[t, v, m] + scores[t, dict(FIVE.edges).get(v, v), m]) / 2
        elif t + 1 < len(scores):
            expected[t, v, m] = (scores[t, v, m] + scores[t + 1, v, m]) / 2
    np.testing.assert_allclose(found[2], expected, atol=1e-6)


def test_a_masked_joint_is_zero_in_every_stream_and_so_is_each_difference_with_it() -> None:
    """Joint 3, the parent of joint 4, is masked in frame 5."""
    whole = torch.from_numpy(STORE.sequence(0))[None]
    masked = whole.clone()
    masked[0, 5, 3] = torch.nan
    touched = {JOINT: [(5, 3)], MOTION: [(4, 3), (5, 3)], BONE: [(5, 3), (5, 4)]}
    for modality, kind in KINDS.items():
        augmentation = SkeletonAugmentation(kind)
        draw = augmentation.view(STORE.sequence(0), 8, np.random.default_rng(1)).draw
        for act in (augmentation.plain, lambda clips, draw: augmentation.apply(clips, [draw])):  # noqa: B023  # called at once
            found, expected = act(masked, draw), act(whole, draw)
            for t, v in touched[modality]:
                expected[0, :, t, v] = 0
            torch.testing.assert_close(found, expected)
