"""The index finds the nearest videos and their clips; other files are refused."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures
from vimix.values.video import Video
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.indexes.store_index import ClipIndex

CLASSES = ("jump", "walk")
WINDOW = 16


def store(count: int) -> list[Video]:
    return [Video(f"video-{n}", n % 3 - 1, f"tape-{n}", frames=40 + n, rate=10.0 + n) for n in range(count)]


def clip_features(rng: np.random.Generator, counts: list[int]) -> ClipFeatures:
    """``counts[n]`` clips of video n, with coarse features so that ties occur."""
    videos = np.repeat(np.arange(len(counts)), counts)
    starts = np.concatenate([8 * np.arange(n) for n in counts]).astype(np.int64)
    features = rng.integers(-2, 3, (len(videos), 3)).astype(np.float32)
    return ClipFeatures(features, videos, starts)


def naive_query(clips: ClipFeatures, queries: NDArray[np.float32]) -> list[tuple[float, int]]:
    """Return (similarity, video) of all videos, best first, from all pairs of clips."""
    mean = clips.features.astype(np.float64).mean(axis=0)
    best: dict[int, float] = {}
    for query in queries:
        for feature, video in zip(clips.features, clips.videos.tolist(), strict=True):
            a, b = query - mean, feature - mean
            lengths = np.sqrt(a @ a) * np.sqrt(b @ b)
            cosine = a @ b / lengths if lengths > 0 else 0.0
            best[video] = max(best.get(video, -2.0), cosine)
    return sorted(((s, v) for v, s in best.items()), key=lambda pair: (-pair[0], pair[1]))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=9),
    queries=st.integers(1, 4),
    k=st.integers(1, 10),
)
def test_a_query_names_the_distinct_videos_of_the_best_pairs_of_clips(
    seed: int, counts: list[int], queries: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    clips = clip_features(rng, counts)
    videos = store(len(counts))
    index = ClipIndex.build(clips, videos, CLASSES, WINDOW, about={})
    asked = rng.normal(size=(queries, 3)).astype(np.float32)
    matches, expected = index.query(asked, k), naive_query(clips, asked)[:k]
    assert len(index) == sum(counts)
    assert [match.similarity for match in matches] == pytest.approx([s for s, _ in expected], abs=1e-5)
    assert len({match.video.number for match in matches}) == min(k, len(counts))
    exact = {v: s for s, v in naive_query(clips, asked)}
    for match in matches:
        video = videos[match.video.number]
        assert match.similarity == pytest.approx(exact[match.video.number], abs=1e-5)
        assert match.video.name == video.name
        assert match.video.class_name == (CLASSES[video.label] if video.label >= 0 else None)
        first = round(match.start * video.rate)
        place = (clips.videos == match.video.number) & (clips.starts == first)
        mean = clips.features.mean(axis=0)
        a, b = asked - mean, clips.features[place][0] - mean
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b)
        assert match.similarity == pytest.approx((a @ b / np.maximum(lengths, 1e-6)).max(), abs=1e-4)
        assert match.end == pytest.approx(min(first + WINDOW, video.frames) / video.rate)


def test_equally_similar_videos_come_in_the_order_of_the_store_however_many() -> None:
    """Sixty clips of the last video are as near as one of each other: the search must look past them."""
    counts = [1, 1, 1, 60]
    features = np.ones((63, 2), np.float32)
    features[0] = -1  # or the mean would be all there is
    videos = np.repeat(np.arange(4), counts)[::-1].copy()
    clips = ClipFeatures(features[::-1].copy(), videos, np.zeros(63, np.int64))
    index = ClipIndex.build(clips, store(4), CLASSES, WINDOW, about={})
    for k in (1, 2, 3):
        assert [match.video.number for match in index.query(np.ones(2, np.float32), k)] == [1, 2, 3][:k]


def test_a_video_that_one_query_clip_hides_behind_many_clips_of_another_is_found() -> None:
    """The first query clip sees 40 clips of video 0 before video 1, which is still nearer than video 2 to the other."""
    angles = np.radians([*np.linspace(0, 10, 40), 20.0, 150.0])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    features = np.concatenate([rows, -rows]).astype(np.float32)  # of mean zero; video 3 is the mirror image
    videos = np.array([0] * 40 + [1, 2] + [3] * 42)
    index = ClipIndex.build(ClipFeatures(features, videos, np.zeros(84, np.int64)), store(4), CLASSES, WINDOW, about={})
    first, other = [1.0, 0.0], [np.cos(np.radians(110)), np.sin(np.radians(110))]  # 40° from video 2
    matches = index.query(np.array([first, other], np.float32), 2)
    assert [match.video.number for match in matches] == [0, 1]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(1, 12), min_size=1, max_size=6), k=st.integers(1, 9))
def test_moments_are_the_best_clips_that_overlap_no_better_one(seed: int, counts: list[int], k: int) -> None:
    rng = np.random.default_rng(seed)
    clips = clip_features(rng, counts)
    clips = ClipFeatures(rng.normal(size=clips.features.shape).astype(np.float32), clips.videos, clips.starts)
    videos = store(len(counts))
    index = ClipIndex.build(clips, videos, CLASSES, WINDOW, about={})
    asked = rng.normal(size=(2, 3)).astype(np.float32)
    mean = clips.features.mean(axis=0)
    rows, queries = clips.features - mean, asked - mean
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    similarities = ((queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ rows.T / lengths).max(axis=0)
    chosen: list[int] = []
    for clip in np.argsort(-similarities, kind="stable").tolist():
        video = int(clips.videos[clip])
        spans = [(c, min(c + WINDOW, videos[video].frames)) for c in clips.starts.tolist()]
        begin, end = spans[clip]
        others = [spans[other] for other in chosen if clips.videos[other] == video]
        if all(end <= start or stop <= begin for start, stop in others):
            chosen.append(clip)
    moments = index.moments(asked, k)
    assert [moment.similarity for moment in moments] == pytest.approx(similarities[chosen[:k]], abs=1e-5)
    for moment, clip in zip(moments, chosen, strict=False):
        rate = videos[int(clips.videos[clip])].rate
        assert (moment.video.number, moment.start) == (clips.videos[clip], pytest.approx(clips.starts[clip] / rate))


def test_an_index_saved_and_loaded_answers_alike_and_keeps_its_story(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = clip_features(rng, [3, 1, 4])
    about = {"modality": "rgb", "recipe": 'seed = 1\nname = "é"\n', "checkpoint": {"stage": "pretrain-rgb", "epoch": 3}}
    built = ClipIndex.build(clips, store(3), CLASSES, WINDOW, about)
    path = tmp_path / "new" / "gallery.index"
    built.save(path)
    built.save(path)  # over the old one
    loaded = ClipIndex.load(path)
    asked = rng.normal(size=(2, 3)).astype(np.float32)
    assert loaded.query(asked, 3) == built.query(asked, 3)
    assert loaded.about == about
    assert [file.name for file in path.parent.iterdir()] == ["gallery.index"]


def test_what_is_no_index_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "gallery.index"
    with pytest.raises(VimixError, match=r"gallery.index: there is no such index"):
        ClipIndex.load(path)
    ClipIndex.build(clip_features(np.random.default_rng(0), [3, 1]), store(2), CLASSES, WINDOW, {}).save(path)
    whole, other = path.read_bytes(), BytesIO()
    np.savez(other, mean=np.zeros(3))
    cut = [whole[:length] for length in (0, 10, len(whole) // 2, len(whole) - 1)]
    for content in (b"hello", *cut, other.getvalue()):
        path.write_bytes(content)
        with pytest.raises(VimixError, match=r"gallery.index: expected an index made by vimix index build"):
            ClipIndex.load(path)


def test_a_query_of_another_length_or_for_no_neighbour_is_refused() -> None:
    index = ClipIndex.build(clip_features(np.random.default_rng(0), [3, 1]), store(2), CLASSES, WINDOW, {})
    with pytest.raises(ValueError, match=r"\[Q, 3\]"):
        index.query(np.zeros((1, 4), np.float32), 1)
    with pytest.raises(ValueError, match=r"at least 1"):
        index.query(np.zeros((1, 3), np.float32), 0)


def test_a_faiss_index_goes_through_bytes_unchanged_and_other_bytes_are_refused() -> None:
    import faiss

    index = FaissIndex(2)
    index.add(np.eye(2, dtype=np.float32))
    again = FaissIndex.from_bytes(index.to_bytes(), "a")
    assert len(again) == again.dimension == 2
    assert again.search(np.eye(2, dtype=np.float32), 1).ids.tolist() == [[0], [1]]
    with pytest.raises(VimixError, match=r"^b: not a FAISS index"):
        FaissIndex.from_bytes(np.frombuffer(b"no index at all, but some bytes", np.uint8), "b")
    with pytest.raises(VimixError, match=r"^c: expected an exact .* not IndexFlatL2"):
        FaissIndex.from_bytes(faiss.serialize_index(faiss.IndexFlatL2(2)), "c")


def test_a_vector_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match=r"finite"):
        FaissIndex(2).add(np.array([[np.nan, 0]], np.float32))
