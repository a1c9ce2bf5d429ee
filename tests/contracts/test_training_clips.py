"""The contract of training and evaluation clips, run on the fakes and on the real ones."""

import pytest
import torch

from tests.fakes.clips import BreakableStore, FakeEvaluationClips, FakeTrainingClips
from vimix.ports.clips import EvaluationClips, TrainingClips
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.augmentation import FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.views import ClipShape

CPU = torch.device("cpu")
VIEWS = {RGB: 2, FLOW: 1}


def fake(seed: int) -> TrainingClips:
    return FakeTrainingClips(views=VIEWS, seed=seed)


def loaded(seed: int, workers: int = 0) -> TrainingClips:
    return TrainingLoader(
        BreakableStore(),
        "all",
        views=VIEWS,
        clip=ClipShape(frames=4, size=8),
        batch=4,
        seed=seed,
        augmentations={RGB: PictureAugmentation(), FLOW: FlowAugmentation()},
        device=CPU,
        workers=workers,
    )


def loaded_by_a_worker(seed: int) -> TrainingClips:
    return loaded(seed, workers=1)


@pytest.fixture(params=[fake, loaded, loaded_by_a_worker])
def build(request):
    return request.param


def same(one: ClipBatch, other: ClipBatch) -> bool:
    return torch.equal(one.videos, other.videos) and all(
        torch.equal(x, y) for m in VIEWS for x, y in zip(one.views[m], other.views[m], strict=True)
    )


def test_a_batch_holds_as_many_views_as_were_asked_for_in_float32(build) -> None:
    clips = build(0)
    batches = list(clips.batches(0))
    assert len(batches) == clips.steps == 2
    for batch in batches:
        assert len(batch) == 4
        assert {m: len(views) for m, views in batch.views.items()} == VIEWS
        for modality, channels in ((RGB, 3), (FLOW, 2)):
            for view in batch.views[modality]:
                assert view.shape == (4, channels, 4, 8, 8)
                assert view.dtype == torch.float32
                assert bool(torch.isfinite(view).all())
        assert [t.dtype for t in (batch.videos, batch.sources, batch.labels)] == [torch.int64] * 3
        assert {t.shape for t in (batch.videos, batch.sources, batch.labels)} == {(4,)}


def test_an_epoch_shows_no_video_twice_and_every_epoch_has_its_own_order(build) -> None:
    clips = build(0)
    orders = [torch.cat([batch.videos for batch in clips.batches(epoch)]).tolist() for epoch in range(3)]
    assert all(len(set(order)) == 8 for order in orders)
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.slow
def test_an_epoch_is_a_function_of_the_seed(build) -> None:
    one, again, other = (next(build(seed).batches(1)) for seed in (0, 0, 1))
    assert same(one, again)
    assert not same(one, other)


def test_resuming_is_skipping(build) -> None:
    clips = build(0)
    whole = list(clips.batches(2))
    rest = list(clips.batches(2, first=1))
    assert len(rest) == 1
    assert same(rest[0], whole[1])
    assert list(clips.batches(2, first=2)) == []


def test_views_of_a_video_differ(build) -> None:
    one, other = next(build(0).batches(0)).views[RGB]
    assert not torch.allclose(one, other)


def fake_evaluation() -> EvaluationClips:
    return FakeEvaluationClips(members=(1, 3, 4))


def windowed() -> EvaluationClips:
    clip = ClipShape(frames=4, size=8)
    return WindowedClips(BreakableStore(), (1, 3, 4), modality=RGB, clip=clip, window_stride=4, device=CPU)


@pytest.fixture(params=[fake_evaluation, windowed])
def evaluation(request) -> EvaluationClips:
    return request.param()


def test_evaluation_gives_each_video_once_in_the_order_given(evaluation) -> None:
    assert len(evaluation) == 3
    assert [video.video for video in evaluation.videos()] == [1, 3, 4]


def test_evaluation_gives_all_windows_of_a_video_in_order_of_time(evaluation) -> None:
    for video in evaluation.videos():
        assert video.clips.shape == (len(video.starts), 3, 4, 8, 8)
        assert video.clips.dtype == torch.float32
        assert list(video.starts) == sorted(set(video.starts))
        assert video.starts[0] == 0


def test_evaluation_is_the_same_each_time(evaluation) -> None:
    for one, again in zip(evaluation.videos(), evaluation.videos(), strict=True):
        assert torch.equal(one.clips, again.clips)
