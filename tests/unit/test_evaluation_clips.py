"""Windows over whole videos are compared with windows cut by hand."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from tests.fakes.clips import BreakableStore
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.array_store import ArrayStore
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.views import ClipShape, Crop

CPU = torch.device("cpu")
CLIP = ClipShape(frames=4, size=12, stride=2)


def windowed(store, videos, modality=RGB, **changes) -> WindowedClips:
    settings = {"modality": modality, "clip": CLIP, "window_stride": 5, "device": CPU}
    return WindowedClips(store, videos, **{**settings, **changes})


def by_hand(frames: np.ndarray, starts: list[int]) -> torch.Tensor:
    """Crop frames [T, H, W, 3] to the centred square, resize, normalise: windows [N, 3, 4, 12, 12]."""
    square = functional.center_crop(torch.from_numpy(frames).permute(0, 3, 1, 2), [min(frames.shape[1:3])] * 2)
    small = functional.resize(square, [12, 12], antialias=True)
    normal = functional.normalize(small / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    last = len(frames) - 1
    return torch.stack([normal[[min(s + i, last) for i in (0, 2, 4, 6)]].transpose(0, 1) for s in starts])


def test_a_videos_windows_are_those_cut_by_hand() -> None:
    store = BreakableStore()
    expected = {2: [0, 5, 10, 15, 20, 25, 30, 33], 3: [0], 7: [0, 5, 10, 15, 20, 22]}
    clips = windowed(store, list(expected))
    assert clips.counts() == [8, 1, 6]
    for got in clips.videos():
        assert got.starts == tuple(expected[got.video])
        assert got.label == got.video % 3
        frames = store.read(got.video, RGB, 0, store.lengths[got.video])
        torch.testing.assert_close(got.clips, by_hand(frames, expected[got.video]))


def test_a_video_in_memory_gets_the_same_windows_as_one_in_a_store() -> None:
    store = BreakableStore()
    (stored,) = windowed(store, [5]).videos()
    memory = ArrayStore(store.read(5, RGB, 0, store.lengths[5]), store.formats[RGB])
    (video,) = windowed(memory, [0]).videos()
    assert video.starts == stored.starts
    assert torch.equal(video.clips, stored.clips)
    for start, count in ((-1, 2), (store.lengths[5], 1), (0, 0)):
        with pytest.raises(IndexError, match=f"one video of {store.lengths[5]} frames"):
            memory.read(0, RGB, start, count)
    with pytest.raises(VimixError, match="is rgb, not flow"):
        memory.read(0, FLOW, 0, 1)
    with pytest.raises(VimixError, match="has no split 'train'"):
        memory.members("train")


def test_flow_vectors_shrink_with_the_square() -> None:
    """Video 0 is 40 × 56, and its square of 40 is resized to 12. The bytes 64 and 192 stand for -0.498 and 0.506."""
    (flow,) = windowed(BreakableStore(), [0], FLOW).videos()
    assert flow.clips.shape[1:] == (2, 4, 12, 12)
    u, v = flow.clips.unbind(1)
    torch.testing.assert_close(u, torch.full_like(u, (64 * 2 / 255 - 1) * 12 / 40))
    torch.testing.assert_close(v, torch.full_like(v, (192 * 2 / 255 - 1) * 12 / 40))


@pytest.mark.slow
def test_workers_change_nothing_and_serve_a_second_pass() -> None:
    store = BreakableStore()
    alone, helped = windowed(store, range(10)), windowed(store, range(10), workers=2)
    for _ in range(2):
        for a, b in zip(alone.videos(), helped.videos(), strict=True):
            assert (a.video, a.starts) == (b.video, b.starts)
            assert torch.equal(a.clips, b.clips)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_unreadable_video_is_an_error_that_names_it(workers: int) -> None:
    """Evaluation replaces no video: a score must be that of the videos it names."""
    clips = windowed(BreakableStore(broken=frozenset({2})), [0, 2, 3], workers=workers)
    videos = clips.videos()
    assert next(videos).video == 0
    with pytest.raises(VimixError, match=r"^v2: frame 0 is damaged$"):
        next(videos)


def test_a_missing_modality_is_refused() -> None:
    with pytest.raises(VimixError, match="'joint'"):
        windowed(BreakableStore(), [0], "joint")


def test_a_mirrored_crop_of_flow_points_the_other_way() -> None:
    crops = (Crop(), Crop(flip=True))
    plain, mirrored = windowed(BreakableStore(), [0], FLOW, crops=crops).videos()
    torch.testing.assert_close(mirrored.clips[:, 0], -plain.clips[:, 0])
    torch.testing.assert_close(mirrored.clips[:, 1], plain.clips[:, 1])
