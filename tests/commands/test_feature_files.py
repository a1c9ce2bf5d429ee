"""The files of ``vimix extract``, in particular their times, and the cache of features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from structlog.testing import capture_logs

from tests.builders import bow_and_wave_store, random_encoder, skeleton_store
from tests.cli import SMALL, vimix
from vimix.domain.scores.feature_scaling import mean_of_unit_rows, mean_row
from vimix.values.features import ClipFeatures, VideoFeatures
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands import embed, extract
from vimix_adapters.commands.feature_cache import FeatureCache
from vimix_adapters.config import ModalitySettings, Stgcn

SKELETONS = """
name = "skeletons"
[data]
store = "{store}"
frames = 4
workers = 0
[modalities.joint]
encoder = "stgcn"
stgcn = {{ hidden_channels = 2, feature_size = 4 }}
[run]
precision = "float32"
"""


class CountedNumbers(np.ndarray):
    """Numbers that count how many of them are compared."""

    compared = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        CountedNumbers.compared += self.size
        return getattr(ufunc, method)(*(np.asarray(value) for value in inputs), **options)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory) -> Path:
    """A store of four sequences of 16 frames, a recipe with clips of 4 frames, and a checkpoint ``run``."""
    folder = tmp_path_factory.mktemp("skeletons")
    store = skeleton_store(folder, 4, tests=2)
    (folder / "r.toml").write_text(SKELETONS.format(store=store), encoding="utf-8")
    settings = ModalitySettings(encoder="stgcn", stgcn=Stgcn(hidden_channels=2, feature_size=4))
    random_encoder(folder / "run", "joint", settings)
    return folder


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """A store of ten videos of one to nine clips, a recipe and a checkpoint ``run``."""
    folder = tmp_path_factory.mktemp("videos")
    bow_and_wave_store(folder, 5)
    (folder / "r.toml").write_text('name = "small"' + SMALL.format(store=folder / "s.h5"), encoding="utf-8")
    random_encoder(folder / "run", clips=torch.randn(4, 3, 8, 32, 32))
    return folder


def extracted(place: Path, per: str, *options: object) -> dict[str, np.ndarray]:
    out = place / f"{per}.npz"
    command = ["extract", place / "r.toml", place / "run", place / "s.h5", "--per", per, "--device", "cpu"]
    assert vimix(*command, "--out", out, "--force", *options) == 0
    with np.load(out, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.slow
@pytest.mark.parametrize("per", ["video", "clip"])
def test_a_skeletons_feature_lasts_from_the_first_to_the_last_stored_frame(skeletons, per) -> None:
    table, store = extracted(skeletons, per), Hdf5VideoStore(skeletons / "s.h5")
    assert table["names"].tolist() == [video.name for video in store.videos]
    assert table["start"].tolist() == [0.0] * 4
    assert table["end"].tolist() == [16 / video.rate for video in store.videos]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "pool"),
    [
        ([], mean_row),
        (["--set", "evaluate.batch_clips=3"], mean_row),
        (["--set", "evaluate.protocol='coclr'"], mean_of_unit_rows),
    ],
    ids=["plain", "small batches", "coclr"],
)
def test_a_videos_row_is_pooled_from_the_rows_of_its_clips_and_lasts_from_the_first_to_the_last(
    videos, options, pool
) -> None:
    by_video, by_clip = extracted(videos, "video", *options), extracted(videos, "clip", *options)
    counts = []
    for row, name in enumerate(by_video["names"]):
        own = by_clip["names"] == name
        counts.append(int(own.sum()))
        np.testing.assert_array_equal(by_video["features"][row], pool(by_clip["features"][own]))
        assert by_video["start"][row] == by_clip["start"][own].min() == 0
        assert by_video["end"][row] == by_clip["end"][own].max()
    assert min(counts) < max(counts)
    assert sum(counts) == len(by_clip["names"])


@pytest.mark.slow
def test_features_of_videos_are_pooled_as_they_come_and_those_of_clips_are_not_kept(videos, monkeypatch) -> None:
    monkeypatch.setattr(embed, "extract_clip_features", lambda *_, **__: pytest.fail("all clips are in memory"))
    assert len(extracted(videos, "video")["names"]) == 10


@pytest.mark.slow
def test_no_clip_is_compared_with_every_video(skeletons, monkeypatch) -> None:
    """If each video is compared with all clips, the table of Kinetics-400 takes an hour."""
    recipe, many = config.read_recipe(skeletons / "r.toml", ()), 300
    found = embed.embed_store(recipe, skeletons / "run", skeletons / "s.h5", "cpu", ClipFeatures)
    numbers = np.repeat(np.arange(4), many).view(CountedNumbers)
    clips = ClipFeatures(np.repeat(found.features.features, many, axis=0), numbers, np.zeros(4 * many, np.int64))
    monkeypatch.setattr(extract, "embed_store", lambda *_, **__: evolve(found, features=clips))
    assert len(extracted(skeletons, "clip")["names"]) == 4 * many
    assert CountedNumbers.compared <= 4 * many


def test_stores_with_splits_of_one_name_keep_their_features_side_by_side(tmp_path) -> None:
    cache, computed = FeatureCache(tmp_path), []

    def features(store: str) -> VideoFeatures:
        manifest = {"modality": "rgb", "split": "test", "weights": "w" * 64, "store": store}
        numbers = np.arange(2)

        def compute() -> VideoFeatures:
            computed.append(store)
            return VideoFeatures(np.full((2, 3), ord(store[0]), np.float32), numbers, numbers, numbers)

        return cache.get(manifest, compute)

    with capture_logs() as logs:
        for _ in range(2):
            for store in ("a" * 16, "b" * 16):
                assert features(store).features[0, 0] == ord(store[0])
    assert computed == ["a" * 16, "b" * 16]
    assert [line["event"] for line in logs] == ["features.cached"] * 2
