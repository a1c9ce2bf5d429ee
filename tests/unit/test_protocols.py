"""Protocols against what the peers' sources do, written out again."""

import numpy as np
import pytest
import torch
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from tests.fakes.classifier import FakeClassifier
from tests.fakes.clips import BreakableStore
from tests.fakes.index import BruteForceIndex
from tests.fakes.store import FakeVideoStore
from vimix.app.feature_extraction import extract_features
from vimix.app.finetune import classify
from vimix.app.linear_probe import best_epoch, linear_probe
from vimix.app.retrieve import retrieve
from vimix.domain.scores.accuracy import knn_accuracy
from vimix.domain.scores.feature_scaling import EACH_BY_ITSELF, mean_of_unit_rows
from vimix.domain.scores.fusion import MEAN_LOGIT, MEAN_PROBABILITY
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import BONE, FLOW, JOINT, MOTION, RGB
from vimix_adapters import wiring
from vimix_adapters.clips.evaluation import WindowedClips
from vimix_adapters.clips.views import TEN_CROPS, ClipShape, frame_indices, window_starts
from vimix_adapters.commands import evaluate_run
from vimix_adapters.commands import scores as evaluation_scores
from vimix_adapters.config import (
    PROTOCOLS,
    AugmentSettings,
    changes,
    finetune_augment_of,
    finetuning_of,
    protocol_of,
    recipe_from_toml,
)
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.probes.sgd import SgdProbe

MINIMAL = 'name = "x"\n[data]\nstore = "s.h5"\n[modalities.rgb]\n'
CPU = torch.device("cpu")


def coclr_frames(total: int, frames: int) -> np.ndarray:
    """CoCLR's sampler of test windows: half overlap less one, short videos padded on the left. [N, frames]."""
    if total - frames <= 0:
        sequence = np.arange(frames)
        indices = np.zeros_like(sequence)
        sequence = sequence[sequence < total]
        indices[-len(sequence) :] = sequence
        return indices[None]
    start = np.expand_dims(np.arange(0, total - frames + 1, frames // 2 - 1), 1)
    return np.expand_dims(np.arange(frames), 0) + start


@given(length=st.integers(1, 200))
def test_windows_of_coclr_show_the_frames_that_its_sampler_draws(length: int) -> None:
    recipe = recipe_from_toml(MINIMAL + "[evaluate]\nprotocol = 'coclr'\n", "r")
    protocol, clip = protocol_of(recipe), wiring.clip_shape(recipe)
    assert wiring.window_stride(recipe) == 15
    starts = window_starts(length, clip, wiring.window_stride(recipe), protocol.windows_end)
    found = frame_indices(starts, length, clip, protocol.padding == "first frame")
    np.testing.assert_array_equal(found, coclr_frames(length, 32))


def test_the_protocol_lays_the_windows_crops_and_pads_of_a_video() -> None:
    """A video of 20 frames, 40 × 60 pixels: CoCLR crops seven eighths and shows frames 0-7, 3-10, ..., 12-19."""
    frames = np.random.default_rng(0).integers(0, 256, (19, 40, 60, 3), dtype=np.uint8)
    store = BreakableStore(lengths=(19,), pictures={0: frames})
    text = MINIMAL.replace('"s.h5"', '"s.h5"\nframes = 8\nsize = 32\nworkers = 0')
    recipe = recipe_from_toml(text + "[evaluate]\nprotocol = 'coclr'\n", "r")
    (item,) = wiring.build_evaluation_clips(recipe, store, [0], RGB, Compute(CPU)).videos()
    assert item.starts == (0, 3, 6, 9)
    picture = torch.from_numpy(frames[9:17]).permute(0, 3, 1, 2)
    cropped = functional.resize(functional.crop(picture, 2, 12, 35, 35), [32, 32], antialias=True)
    normal = functional.normalize(cropped / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(item.clips[3], normal.transpose(0, 1))
    ours = recipe_from_toml(text, "r")
    (item,) = wiring.build_evaluation_clips(ours, store, [0], RGB, Compute(CPU)).videos()
    assert item.starts == (0, 3, 6, 9, 11)


def test_every_protocol_can_be_asked_for_and_says_where_a_recipe_departs() -> None:
    for name in PROTOCOLS:
        recipe = recipe_from_toml(MINIMAL + f"[evaluate]\nprotocol = '{name}'\n", "r")
        assert protocol_of(recipe) == PROTOCOLS[name]
        assert changes(recipe) == []
        short = recipe_from_toml(MINIMAL + f"[evaluate]\nprotocol = '{name}'\nstride = 4\nlinear_epochs = 10\n", "r")
        assert "window_stride" in changes(short)
    changed = protocol_of(short).probe
    assert (changed.epochs, changed.milestones, changed.lr) == (10, (8,), 3.0)


def videos(seed: int, count: int, first: int, modalities) -> dict:
    rng = np.random.default_rng(seed)
    labels, numbers = rng.integers(0, 3, count), first + np.arange(count)
    return {
        m: VideoFeatures(rng.normal(size=(count, 4)).astype(np.float32), labels, numbers, numbers) for m in modalities
    }


@given(seed=st.integers(0, 2**32 - 1))
def test_three_streams_retrieve_by_the_sum_of_similarities_each_side_centred_by_itself(seed: int) -> None:
    """CoCLR: subtract each side's own mean, normalise, multiply; merge by adding the similarity matrices."""
    streams = (JOINT, MOTION, BONE)
    gallery, queries = videos(seed, 9, 0, streams), videos(seed + 1, 5, 100, streams)
    total = np.zeros((5, 9))
    for m in streams:
        a, b = (torch.from_numpy(side[m].features).double() for side in (queries, gallery))
        a, b = (torch.nn.functional.normalize(side - side.mean(0), dim=1) for side in (a, b))
        total += (a @ b.T).numpy()
    found = retrieve(gallery, queries, BruteForceIndex, (1, 3), EACH_BY_ITSELF)
    np.testing.assert_allclose(found.similarities, -np.sort(-total, axis=1)[:, :3] / 3, atol=1e-5)
    assert "own mean" in found.protocol["centred"]


@given(seed=st.integers(0, 2**32 - 1))
def test_fused_logits_are_those_of_the_sum_of_logits(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(scale=3, size=(3, 5, 4))
    streams = [torch.from_numpy(stream).softmax(1).float().numpy() for stream in logits]
    expected = torch.from_numpy(logits.mean(0)).softmax(1).numpy()
    np.testing.assert_allclose(MEAN_LOGIT.fuse(streams), expected, atol=1e-5)
    np.testing.assert_allclose(MEAN_PROBABILITY.fuse(streams), np.mean(streams, axis=0), atol=1e-6)


def test_a_class_that_no_stream_knows_keeps_probability_zero_when_logits_are_fused() -> None:
    one, two = np.array([[0.5, 0.5, 0.0]], np.float32), np.array([[0.9, 0.1, 0.0]], np.float32)
    fused = MEAN_LOGIT.fuse([one, two])
    assert fused[0, 2] == 0
    assert fused.sum() == pytest.approx(1)
    disjoint = MEAN_LOGIT.fuse([np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)])
    np.testing.assert_allclose(disjoint, [[0.5, 0.5]])


def test_one_stream_that_is_very_sure_has_no_veto_when_logits_are_fused() -> None:
    """Logits 120 apart: float32 holds no such probability. Of three streams that are as sure, the majority wins."""
    sure = torch.tensor([[120.0, 0.0, 60.0], [0.0, 120.0, 60.0], [0.0, 120.0, 60.0]]).softmax(1).numpy()
    assert (sure == 0).sum() == 3
    assert MEAN_LOGIT.fuse([row[None] for row in sure])[0].argmax() == 1
    mild = torch.tensor([[0.0, 90.0, 0.0]]).softmax(1).numpy()
    fused = MEAN_LOGIT.fuse([sure[:1], mild])[0]
    assert fused.argmax() == 0
    assert fused[1] > 0, "the logits' mean is 15 less than that of the first"


def test_the_sgd_probe_is_the_plain_loop() -> None:
    """Softmax regression with momentum and weight decay in NumPy, whole batches, two rates."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 5)).astype(np.float32), np.arange(12) % 3
    settings = LinearSgd(lr=0.5, weight_decay=0.01, batch=12, epochs=6, milestones=(3,), every=2)
    generator = torch.Generator().manual_seed(7)
    w = torch.empty(3, 5).normal_(std=0.01, generator=generator).double().numpy()
    b, vw, vb = np.zeros(3), np.zeros((3, 5)), np.zeros(3)
    for epoch in range(6):
        z = x @ w.T + b
        p = np.exp(z - z.max(1, keepdims=True))
        error = (p / p.sum(1, keepdims=True) - np.eye(3)[y]) / 12
        vw = 0.9 * vw + error.T @ x + 0.01 * w
        vb = 0.9 * vb + error.sum(0) + 0.01 * b
        rate = 0.5 if epoch < 3 else 0.05
        w, b = w - rate * vw, b - rate * vb
    z = x @ w.T + b
    expected = torch.from_numpy(z).softmax(1).numpy()
    outcome = SgdProbe(settings).fit_predict(x, y, y, x, seed=7)
    np.testing.assert_allclose(outcome.probabilities, expected, atol=1e-4)
    assert sorted(outcome.by_epoch) == [0, 2, 4], "the best on test is one of these, the result is that of epoch 5"
    shorter = SgdProbe(evolve(settings, epochs=1, milestones=(), first_tested=1)).fit_predict(x, y, y, x, seed=7)
    np.testing.assert_array_equal(shorter.by_epoch[0], shorter.probabilities)


def test_streams_that_are_trained_together_share_the_gradient_of_their_mean_logits() -> None:
    """CrosSCLR's linear evaluation of several views in NumPy: two layers, one loss, full batches only."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(7, 5)).astype(np.float32), np.arange(7) % 3
    widths = (2, 3)
    settings = LinearSgd(
        lr=0.5,
        weight_decay=0.01,
        batch=4,
        epochs=3,
        milestones=(),
        initial_std=0.02,
        drop_last=True,
        every=2,
        first_tested=1,
    )
    generator = torch.Generator().manual_seed(7)
    layers = [torch.empty(3, width).normal_(std=0.02, generator=generator).double().numpy() for width in widths]
    biases = [np.zeros(3), np.zeros(3)]
    moving = [np.zeros_like(value) for value in (*layers, *biases)]
    parts = np.split(x.astype(np.float64), [2], axis=1)
    for _ in range(3):
        rows = torch.randperm(7, generator=generator)[:4].numpy()
        z = np.mean([part[rows] @ w.T + b for part, w, b in zip(parts, layers, biases, strict=True)], axis=0)
        p = np.exp(z - z.max(1, keepdims=True))
        error = (p / p.sum(1, keepdims=True) - np.eye(3)[y[rows]]) / 4 / 2
        slopes = [*(error.T @ part[rows] for part in parts), error.sum(0), error.sum(0)]
        for value, momentum, slope in zip((*layers, *biases), moving, slopes, strict=True):
            momentum[:] = 0.9 * momentum + slope + 0.01 * value
            value -= 0.5 * momentum
    z = np.mean([part @ w.T + b for part, w, b in zip(parts, layers, biases, strict=True)], axis=0)
    outcome = SgdProbe(settings, widths).fit_predict(x, y, y, x, seed=7)
    np.testing.assert_allclose(outcome.probabilities, torch.from_numpy(z).softmax(1).numpy(), atol=1e-5)
    assert sorted(outcome.by_epoch) == [1]


def test_protocol_crosclr_trains_the_layers_of_two_streams_together() -> None:
    recipe = recipe_from_toml(MINIMAL + "[modalities.flow]\nchannels = 2\n[evaluate]\nprotocol = 'crosclr'\n", "r")
    known, asked = videos(1, 150, 0, (RGB, FLOW)), videos(2, 40, 1000, (RGB, FLOW))
    pairs = {m: evaluation_scores.FeaturePair(known[m], asked[m]) for m in (RGB, FLOW)}
    scores = evaluation_scores.linear(recipe, pairs)
    rows = np.concatenate([known[m].features for m in (RGB, FLOW)], axis=1)
    tested = np.concatenate([asked[m].features for m in (RGB, FLOW)], axis=1)
    probe = SgdProbe(PROTOCOLS["crosclr"].probe, (4, 4))
    outcome = probe.fit_predict(rows, known[RGB].labels, known[RGB].sources, tested, recipe.seed)
    np.testing.assert_allclose(scores.probabilities, outcome.probabilities, atol=1e-6)
    assert list(scores.protocol["probe"]) == ["rgb + flow"]
    best = evaluation_scores.linear_best_on_test(recipe, pairs)
    assert (best["epoch"] + 1) % 5 == 0
    assert best["top-1"] >= scores.top1
    alone = evaluation_scores.linear(recipe, {RGB: pairs[RGB]})
    assert list(alone.protocol["probe"]) == ["rgb"]


COCLR_PROBE = {
    "lr": 1.0,
    "weight_decay": 1e-3,
    "batch": 1024,
    "epochs": 100,
    "milestones": (60, 80),
    "initial_std": 0.01,
}
"""CoCLR's eval/feature_linear_probe.py: arguments and LP; it tests after epochs 0, 5, ... and keeps the last batch."""
COCLR_END_TO_END = {"lr": 0.1, "weight_decay": 1e-3, "batch": 2 * 32, "epochs": 100, "milestones": (60, 80)}
"""CoCLR's README (linear probe, --optim sgd --lr 1e-1) and eval/main_classifier.py: 32 clips on each of two GPUs."""
COCLR_JITTER = {"area_min": 0.2, "jitter": 0.3, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
"""CoCLR's eval/main_classifier.py, get_transform."""
CROSCLR_PROBE = {"lr": 3.0, "weight_decay": 0.0, "batch": 128, "epochs": 100, "milestones": (80,), "initial_std": 0.02}
"""CrosSCLR's config/linear_eval and processor/linear_evaluation.py (weights_init)."""


def test_the_peers_numbers_are_those_of_their_code() -> None:
    def given(settings: object, numbers: dict) -> dict:
        return {name: getattr(settings, name) for name in numbers}

    coclr, crosclr = PROTOCOLS["coclr"], PROTOCOLS["crosclr"]
    assert given(coclr.probe, COCLR_PROBE) == COCLR_PROBE
    assert (coclr.probe.first_tested, coclr.probe.every, coclr.probe.drop_last) == (0, 5, False)
    assert given(coclr.end_to_end, COCLR_END_TO_END) == COCLR_END_TO_END
    for augment in (coclr.end_to_end_augment, coclr.finetuning_augment):
        assert given(augment, COCLR_JITTER) == COCLR_JITTER
        assert (augment.grey, augment.blur) == (0, 0)
    assert given(crosclr.probe, CROSCLR_PROBE) == CROSCLR_PROBE
    # processor/processor.py: drop_last of the training loader; tests after epochs 5, 10, ... (counted from 1)
    assert (crosclr.probe.drop_last, crosclr.probe.first_tested, crosclr.probe.every) == (True, 4, 5)
    assert crosclr.probe.together, "net/crossclr_3views.py: the views' outputs are summed and divided before the loss"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "coclr",
            (
                "clips for retrieval and probes",
                "reported first",
                "pictures of three channels",
                "changes their colours",
                "BatchNorm",
                "augment.views",
                "resized",
            ),
        ),
        ("crosclr", ("reported first", "extracted once", "no retrieval", "--align crosclr", "queue starts empty")),
    ],
)
def test_what_is_not_as_in_the_peers_code_is_named(name, words) -> None:
    said = " ".join(PROTOCOLS[name].differs)
    assert [word for word in words if word not in said] == []


def test_a_layer_whose_training_diverged_says_nothing() -> None:
    x = np.full((4, 3), 1e30, dtype=np.float32) * np.array([[1], [-1], [1], [-1]], np.float32)
    probe = SgdProbe(LinearSgd(lr=1e9, weight_decay=0.0, batch=2, epochs=3, milestones=()))
    with pytest.raises(VimixError, match="training of the linear layer diverged"):
        probe.fit_predict(x, np.array([0, 1, 1, 0]), np.arange(4), x, seed=0)


def test_the_last_epoch_is_the_result_and_the_best_on_test_is_another_matter() -> None:
    right, wrong = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), np.array([[0.1, 0.9], [0.2, 0.8]], np.float32)
    labels = np.array([0, 1])
    assert best_epoch({RGB: {0: wrong, 5: right, 9: right}}, labels, MEAN_PROBABILITY) == (5, 1.0)
    assert best_epoch({RGB: {0: wrong, 9: wrong}}, labels, MEAN_PROBABILITY) == (0, 0.5)


def test_a_probe_takes_any_number_of_streams() -> None:
    streams = (JOINT, MOTION, BONE)
    train, test = videos(1, 30, 0, streams), videos(2, 8, 100, streams)
    probe = SgdProbe(LinearSgd(lr=0.5, weight_decay=0.0, batch=8, epochs=3, milestones=()))
    alone = [linear_probe({m: train[m]}, {m: test[m]}, probe, 0).probabilities for m in streams]
    together = linear_probe(train, test, probe, 0, MEAN_LOGIT)
    np.testing.assert_allclose(together.probabilities, MEAN_LOGIT.fuse(alone), atol=1e-6)
    assert together.protocol["modalities"] == "logits averaged"


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 12))
def test_knn_votes_are_those_counted_by_hand(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    known, asked = rng.normal(size=(9, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    labels, answers = rng.integers(0, 3, 9), rng.integers(0, 3, 6)
    hits, mean = 0, known.mean(0)
    for query, answer in zip(asked - mean, answers, strict=True):
        cosines = [
            (g @ query / np.linalg.norm(g) / np.linalg.norm(query), label)
            for g, label in zip(known - mean, labels, strict=True)
        ]
        votes = [0.0, 0.0, 0.0]
        for cosine, label in sorted(cosines, reverse=True)[:k]:
            votes[label] += np.exp(cosine / 0.07)
        hits += int(np.argmax(votes) == answer)
    assert knn_accuracy(known, labels, asked, answers, k) == pytest.approx(hits / 6)


def test_ten_crops_are_the_plain_loop_over_crops_and_windows_with_each_video_read_once() -> None:
    """Crops of 28 of 32 pixels cut by hand, windows sliced by hand, one clip at a time through the classifier."""

    class Counting(BreakableStore):
        reads: list = []  # noqa: RUF012  # shared on purpose: frozen instances cannot count

        def read(self, video, modality, start, count):
            self.reads.append(video)
            return super().read(video, modality, start, count)

    lengths = (11, 3, 30)
    pictures = {
        v: np.random.default_rng(v).integers(0, 256, (n, 32, 36, 3), dtype=np.uint8) for v, n in enumerate(lengths)
    }
    store = Counting(lengths=lengths, pictures=pictures)
    clips = WindowedClips(
        store, (0, 1, 2), modality=RGB, clip=ClipShape(4, 28), window_stride=3, device=CPU, crops=TEN_CROPS, most=4
    )
    held = [len(item.clips) for item in clips.videos()]
    assert held == [4] * 10 + [1] * 10 + [4, 4, 2] * 10  # never more at a time, however long a video or many its crops
    store.reads.clear()
    classifier = FakeClassifier(channels=3, classes=3)
    found = classify(classifier, clips, batch=4)
    assert store.reads == [0, 1, 2]
    for row, length in enumerate(lengths):
        said = []
        for flip in (False, True):
            for top, left in ((2, 4), (0, 0), (0, 8), (4, 0), (4, 8)):
                starts = sorted({*range(0, max(length - 4, 0), 3), max(length - 4, 0)})
                for start in starts:
                    numbers = [min(start + i, length - 1) for i in range(4)]
                    picture = torch.from_numpy(pictures[row][numbers, top : top + 28, left : left + 28])
                    picture = picture.permute(0, 3, 1, 2) / 255
                    clip = functional.normalize(picture, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
                    clip = clip.flip(-1) if flip else clip
                    said.append(classifier.probabilities(clip.transpose(0, 1)[None])[0].double())
        expected = torch.stack(said).mean(0)
        torch.testing.assert_close(torch.from_numpy(found.probabilities[row]).double(), expected, rtol=1e-4, atol=1e-6)


def test_features_are_pooled_as_asked() -> None:
    class Flat:
        def features(self, clips):
            return clips.flatten(1)[:, :5]

    store = BreakableStore()
    clips = WindowedClips(store, (2, 4), modality=RGB, clip=ClipShape(4, 12), window_stride=9, device=CPU)
    parts = WindowedClips(store, (2, 4), modality=RGB, clip=ClipShape(4, 12), window_stride=9, device=CPU, most=2)
    expected = [torch.nn.functional.normalize(i.clips.flatten(1)[:, :5], dim=1).mean(0) for i in clips.videos()]
    assert len(expected) == 2 < len(list(parts.videos()))
    for asked in (clips, parts):  # a video that comes in parts is one video
        found = extract_features(Flat(), asked, np.arange(10), 3, mean_of_unit_rows)
        np.testing.assert_allclose(found.features, torch.stack(expected), atol=1e-6)
        assert found.videos.tolist() == [2, 4]


def test_an_end_to_end_layer_is_not_trained_where_its_features_never_change() -> None:
    with pytest.raises(VimixError, match=r"crosclr.*use\s+vimix evaluate linear"):
        wiring.linear_training(recipe_from_toml(MINIMAL + "[evaluate]\nprotocol = 'crosclr'\n", "r"), RGB)


@pytest.mark.slow
def test_rows_name_streams_in_the_recipes_order_whichever_was_trained_first() -> None:
    recipe = recipe_from_toml(MINIMAL + "[modalities.flow]\nchannels = 2\n", "r")
    known, asked = videos(1, 12, 0, (FLOW, RGB)), videos(2, 6, 100, (FLOW, RGB))
    pairs = {m: evaluation_scores.FeaturePair(known[m], asked[m]) for m in (FLOW, RGB)}
    assert [row.modality for row in evaluation_scores.rows(evaluation_scores.measure(recipe, pairs), "A")] == [
        "rgb",
        "flow",
        "rgb + flow",
    ]


@pytest.mark.slow
def test_the_probe_of_a_modality_is_trained_once_for_all_groups_that_it_is_in(monkeypatch) -> None:
    recipe = recipe_from_toml(MINIMAL + "[modalities.flow]\nchannels = 2\n", "r")
    known, asked = videos(1, 12, 0, (RGB, FLOW)), videos(2, 6, 100, (RGB, FLOW))
    pairs = {m: evaluation_scores.FeaturePair(known[m], asked[m]) for m in (RGB, FLOW)}
    probe, trained = evaluation_scores.wiring.build_probe(recipe), []
    original = type(probe).fit_predict

    def counted(self, features, *rest):
        trained.append(id(features))
        return original(self, features, *rest)

    monkeypatch.setattr(type(probe), "fit_predict", counted)
    measured = evaluation_scores.measure(recipe, pairs)
    assert sorted(trained) == sorted(id(pair.gallery.features) for pair in pairs.values())
    alone = [{RGB: pairs[RGB]}, {FLOW: pairs[FLOW]}, pairs]
    for one, group in zip(measured, alone, strict=True):
        expected = evaluation_scores.linear(recipe, group).probabilities
        np.testing.assert_array_equal(one.linear.probabilities, expected)


def test_the_picture_sheet_shows_the_neighbours_that_the_scores_count(tmp_path, monkeypatch) -> None:
    """By CoCLR's centring, with queries and gallery far apart, they are other videos than by ours."""
    rng, count = np.random.default_rng(0), 40
    store = FakeVideoStore(count=count)
    known, asked = (np.array(store.members(split)) for split in ("train", "test"))

    def features(videos: np.ndarray, where: float) -> VideoFeatures:
        rows = (rng.normal(size=(len(videos), 3)) + where).astype(np.float32)
        return VideoFeatures(rows, videos % 2, videos // 2, videos)

    pairs = {RGB: evaluation_scores.FeaturePair(features(known, 0.0), features(asked, 2.0))}
    sheets, found = [], []
    monkeypatch.setattr(evaluate_run, "draw_sheet", lambda _path, rows, _title: sheets.append(rows))
    for protocol in ("vimix", "coclr"):
        recipe = recipe_from_toml(MINIMAL + f"[evaluate]\nprotocol = '{protocol}'\n", "r")
        target = evaluation_scores.EvaluationTarget("", recipe, store)
        evaluate_run.draw_retrieval(target, pairs, tmp_path / "sheet.png", "")
        scores = evaluation_scores.retrieval(recipe, pairs)
        (row,) = sheets[-1]  # the queries are of one class
        found.append([neighbour.name for neighbour in row.neighbours])
        assert row.query.name == store.videos[scores.query_videos[0]].name
        assert found[-1] == [store.videos[video].name for video in scores.neighbours[0][:5]]
    assert found[0] != found[1]


@pytest.mark.parametrize("arm", ['[arms."random initialisation"]', '[arms.a]\nabout = "random initialisation"'])
def test_an_arm_may_not_be_called_like_the_untrained_encoders(arm) -> None:
    recipe = recipe_from_toml(MINIMAL + f"{arm}\nstages = [{{ pretrain = 'rgb' }}]\n", "r")
    with pytest.raises(VimixError, match="names the row of untrained encoders: rename the arm"):
        evaluation_scores.evaluation_targets(recipe, FakeVideoStore())


A1_VIDEO = {"optimiser": "adam", "lr": 1e-3, "weight_decay": 1e-5, "epochs": 500, "encoder_share": 1.0, "dropout": 0.0}
"""Appendix A.1 with section 4.2 of the Vi-Mix paper: UCF101 and HMDB51."""
A1_SKELETONS = {"optimiser": "sgd", "lr": 0.1, "epochs": 100, "milestones": (80,), "decay": 0.1, "momentum": 0.9}
"""Appendix A.1 with section 4.2 of the Vi-Mix paper: NTU RGB+D 60."""
COCLR_FINETUNING = {
    "optimiser": "adam",
    "lr": 1e-3,
    "weight_decay": 1e-3,
    "epochs": 500,
    "milestones": (400, 450),
    "encoder_share": 0.1,
    "dropout": 0.9,
}
"""CoCLR's eval/main_classifier.py (--train_what ft --wd 1e-3 --dropout 0.9) and the commands of its README."""
STREAMS = "[modalities.joint]\nencoder = 'stgcn'\n"


@pytest.mark.parametrize(
    ("protocol", "modality", "numbers"),
    [
        ("vimix", "rgb", A1_VIDEO),
        ("vimix", "joint", A1_SKELETONS),
        ("coclr", "rgb", COCLR_FINETUNING),
        ("crosclr", "joint", A1_SKELETONS),
    ],
)
def test_finetuning_has_the_published_numbers_until_a_recipe_gives_its_own(protocol, modality, numbers) -> None:
    text = MINIMAL + STREAMS + f"[evaluate]\nprotocol = '{protocol}'\n"
    found = asdict(finetuning_of(recipe_from_toml(text, "r"), modality))
    assert {name: found[name] for name in numbers} == numbers
    own = recipe_from_toml(text + "[finetune]\noptimiser = 'sgd'\nlr = 0.5\ncrops = 'centre'\n", "r")
    changed = asdict(finetuning_of(own, modality))
    assert (changed["optimiser"], changed["lr"], changed["crops"]) == ("sgd", 0.5, "centre")
    left = {name: value for name, value in numbers.items() if name not in ("optimiser", "lr")}
    assert {name: changed[name] for name in left} == left


def test_finetuning_augments_as_pretraining_does_but_without_blur() -> None:
    pretraining = "[augment]\narea_min = 0.5\nblur = 0.7\n"
    assert finetune_augment_of(recipe_from_toml(MINIMAL + pretraining, "r")) == AugmentSettings(area_min=0.5, blur=0.0)
    own = MINIMAL + pretraining + "[finetune.augment]\njitter = 0.3\n"
    assert finetune_augment_of(recipe_from_toml(own, "r")) == AugmentSettings(area_min=0.5, blur=0.0, jitter=0.3)
    peers = finetune_augment_of(recipe_from_toml(own + "[evaluate]\nprotocol = 'coclr'\n", "r"))
    assert (peers.area_min, peers.jitter, peers.grey, peers.blur) == (0.2, 0.3, 0.0, 0.0)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("jiter = 1", r"finetune.augment: unknown key 'jiter' \(did you mean 'jitter'\?\)"),
        ("jitter = 2", "finetune.augment: 'jitter' must be <= 1"),
        ("area_min = 0.9\narea_max = 0.5", "finetune.augment: area_min = 0.9 exceeds area_max = 0.5"),
    ],
)
def test_an_augmentation_of_finetuning_that_cannot_be_is_refused(key, told) -> None:
    with pytest.raises(VimixError, match=told):
        recipe_from_toml(MINIMAL + f"[finetune.augment]\n{key}\n", "r")


@pytest.mark.parametrize(("optimiser", "of_it"), [("adam", "betas"), ("sgd", "momentum")])
def test_a_finetuning_is_built_with_its_optimiser_and_its_augmentation(tmp_path, optimiser, of_it) -> None:
    text = MINIMAL.replace('"s.h5"', '"s.h5"\nframes = 8\nsize = 32\nworkers = 0') + "width = 0.0625\n"
    text += f"[optim]\nbatch = 4\n[finetune]\noptimiser = '{optimiser}'\nencoder_share = 0.5\nweight_decay = 0.25\n"
    training = wiring.finetuning(recipe_from_toml(text, "r"), RGB)
    assert (training.recipe.augment.blur, training.trained_as.augment.blur) == (0.5, 0.0)
    _, run = wiring.build_supervised_run(training, FakeVideoStore(count=12), None, tmp_path, Compute(CPU))
    groups = run.learner.state_dict()["optimiser"]["param_groups"]
    assert all(of_it in group and group["weight_decay"] == 0.25 for group in groups)
    assert [group.get("share") for group in groups] == [0.5, None]
