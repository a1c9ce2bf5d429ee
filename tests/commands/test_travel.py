"""Weights and features leave and enter by the command line, on a real store."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.builders import bow_and_wave_store
from tests.cli import refused, sets, vimix
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.checkpoints.digests import state_digest
from vimix_adapters.commands import scores
from vimix_adapters.commands.feature_cache import FeatureCache, cache_beside
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.s3d import S3DEncoder

pytestmark = pytest.mark.slow

CPU = Compute(torch.device("cpu"))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of ten videos of two classes, a recipe, and weights of others imported into ``weights``."""
    folder = tmp_path_factory.mktemp("travel")
    bow_and_wave_store(folder, 5)
    torch.manual_seed(0)
    state = {f"module.encoder_q.{key}": value for key, value in S3DEncoder(width=0.0625).state_dict().items()}
    torch.save({"state_dict": state}, folder / "moco.pth")
    assert vimix("import", folder / "moco.pth", "--modality", "rgb", "--out", folder / "weights") == 0
    return folder


def recipe_of(place: Path, *overrides: str) -> config.Recipe:
    return config.read_recipe(place / "r.toml", overrides)


def test_a_training_starts_from_imported_weights_with_its_own_head_and_queue(place) -> None:
    """The recipe's embedding (16) and queue (6) are not those that an import could know of."""
    command = ["pretrain", place / "r.toml", "--modality", "rgb", "--init", place / "weights", "--device", "cpu"]
    assert vimix(*command, "--out", place / "trained", *sets("optim.lr=1e-30", "optim.weight_decay=0.0")) == 0
    trained, imported = (load_checkpoint(place / name) for name in ("trained/pretrain-rgb", "weights"))
    stem = "encoder.features.0.0.0.weight"
    torch.testing.assert_close(trained.parts["query"][stem], imported.parts["query"][stem])
    torch.testing.assert_close(trained.parts["key"][stem], imported.parts["query"][stem])
    assert trained.parts["query"]["head.2.weight"].shape == (16, 64)
    assert trained.parts["queue"]["keys"].shape == (6, 16)


@pytest.mark.parametrize("per", ["video", "clip"])
def test_features_of_a_store_open_with_numpy_alone(place, per) -> None:
    out = place / f"{per}.npz"
    command = ["extract", place / "r.toml", place / "weights", place / "s.h5", "--per", per, "--device", "cpu"]
    assert vimix(*command, "--out", out) == 0
    with np.load(out, allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    manifest = json.loads(str(table["manifest"]))
    assert (manifest["rows"], manifest["l2_normalised"], manifest["modality"]) == (per, False, "rgb")
    store = wiring.build_store(recipe_of(place))
    assert manifest["store"] == store.fingerprint
    assert sorted(set(table["names"])) == sorted(video.name for video in store.videos)
    for name, label, known, split in zip(*(table[c] for c in ("names", "labels", "classes", "splits")), strict=True):
        number = [video.name for video in store.videos].index(name)
        assert store.classes[label] == known == name.split("/")[0]
        assert number in store.members(split)
    assert (table["end"] > table["start"]).all()
    assert table["features"].dtype == np.float32
    if per == "video":
        target = scores.EvaluationTarget("", recipe_of(place), store)
        (pair,) = scores.extract(target, {Modality("rgb"): network_of(place)}, CPU).values()
        rows = dict(zip(table["names"], table["features"], strict=True))
        for video, row in zip(pair.gallery.videos, pair.gallery.features, strict=True):
            np.testing.assert_allclose(rows[store.videos[video].name], row, rtol=1e-5, atol=1e-6)
    else:
        assert len(table["names"]) > len(store.videos)


def network_of(place: Path, *overrides: str):
    return wiring.build_trained(recipe_of(place, *overrides), load_checkpoint(place / "weights"), CPU)


def test_hdf5_and_csv_hold_the_same_as_npz(place) -> None:
    command = ["extract", place / "r.toml", place / "weights", place / "s.h5", "--l2", "--device", "cpu"]
    for suffix in ("npz", "h5", "csv"):
        assert vimix(*command, "--out", place / f"same.{suffix}") == 0
    with np.load(place / "same.npz") as file, h5py.File(place / "same.h5") as other:
        features, names = file["features"], file["names"].tolist()
        np.testing.assert_array_equal(features, other["features"][:])
        assert other["names"].asstr()[:].tolist() == names
        assert json.loads(other.attrs["manifest"])["l2_normalised"] is True
    with (place / "same.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["names"] for row in rows] == names
    np.testing.assert_array_equal(np.float32([[row[f"f{i}"] for i in range(64)] for row in rows]), features)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert json.loads((place / "same.csv.json").read_text())["rows"] == "video"


OUTPUTS = [
    "extract {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.npz",
    "extract {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.csv",
    "index build {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.index",
    "evaluate retrieval {0}/r.toml {0}/weights --device cpu --out {0}/twice.json",
    "export {0}/weights --format safetensors --out {0}/twice.safetensors",
    "experiments table 1 --out {0}/twice.md",
    "bench --tiny --only blend --out {0}/bench.md",
]


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_that_exists_is_replaced_only_with_force(place, capsys, command) -> None:
    words = command.format(place).split()
    out = Path(words[-1])
    out.write_text("of the user")
    assert f"{out} exists: choose another name, or replace it with --force" in refused(capsys, *words)
    assert out.read_text() == "of the user"
    assert vimix(*words, "--force") == 0
    assert not out.read_bytes().startswith(b"of the user")


INPUTS = [
    ("extract {0}/r.toml {0}/weights {0}/s.h5 --out {0}/s.h5", "s.h5 is read by this command"),
    ("index build {0}/r.toml {0}/weights {0}/s.h5 --out {0}/weights/last.pt", "last.pt is read by this command"),
    ("evaluate finetune {0}/r.toml {0}/weights --baseline {0}/b.json --out {0}/b.json", "b.json is read by this"),
    ("export {0}/weights --format safetensors --out {0}/weights/last.pt", "last.pt is read by this command"),
    ("import {0}/weights/last.pt --modality rgb --out {0}/weights", "this is a vimix checkpoint already"),
    ("evaluate retrieval {0}/r.toml {0}/weights --out {0}/s.h5", "s.h5: expected a name that ends in .json"),
]


@pytest.mark.parametrize(("command", "message"), INPUTS)
def test_no_output_replaces_an_input_even_with_force(place, capsys, command, message) -> None:
    (place / "b.json").write_text("{}")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert message in refused(capsys, *command.format(place).split(), "--force")
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


class Counting:
    """A network that counts how often it is asked."""

    def __init__(self, network) -> None:
        self.network, self.calls = network, 0

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.network.features(clips)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.network.state_dict()


def test_features_are_computed_once_and_again_only_when_what_they_depend_on_changed(place, tmp_path) -> None:
    store, counting, cache = wiring.build_store(recipe_of(place)), Counting(network_of(place)), FeatureCache(tmp_path)

    def extract(*overrides: str) -> tuple[bool, np.ndarray]:
        before = counting.calls
        target = scores.EvaluationTarget("", recipe_of(place, *overrides), store)
        (pair,) = scores.extract(target, {Modality("rgb"): counting}, CPU, cache=cache).values()
        return counting.calls > before, pair.gallery.features

    computed, first = extract()
    assert computed
    again, second = extract()
    assert not again
    np.testing.assert_array_equal(first, second)
    computed, _ = extract("evaluate.probe_inverse_regularisation=[1.0]")
    assert not computed, "the probe's settings are no part of features"
    for override in ("evaluate.stride=1", "data.size=48", "data.frames=9"):
        assert extract(override) != again, override
        assert extract(override)[0] is False
        assert extract()[0] is True, "the file of the other protocol is stale"
    counting.network.encoder.features[0][0][0].weight.data += 0.01
    assert extract()[0] is True
    for file in tmp_path.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-100])
    assert extract()[0] is True
    assert extract()[0] is False


def test_the_hash_of_weights_sees_every_tensor(place) -> None:
    network = network_of(place)
    seen = {state_digest(network.state_dict())}
    for value in list(network.state_dict().values())[:20]:
        value.add_(1)
        seen.add(state_digest(network.state_dict()))
    assert len(seen) == 21


def test_evaluations_of_a_run_share_the_features_beside_it(place, tmp_path) -> None:
    (tmp_path / "run/arm/1-stage").mkdir(parents=True)
    assert cache_beside(tmp_path / "run/arm/1-stage").folder == tmp_path / "run/arm/1-stage/features"
    (tmp_path / "run/recipe.toml").touch()
    assert cache_beside(tmp_path / "run/arm/1-stage/last.pt").folder == tmp_path / "run/features"
    for task in ("retrieval", "linear"):
        out = tmp_path / f"{task}.json"
        command = ["evaluate", task, place / "r.toml", place / "weights", "--out", out, "--device", "cpu"]
        assert vimix(*command) == 0
        stamps = {file.name: file.stat().st_mtime_ns for file in (place / "weights/features").iterdir()}
        assert len(stamps) == 4  # trained and untrained, training and test videos
        if task == "retrieval":
            before = stamps
    assert stamps == before
