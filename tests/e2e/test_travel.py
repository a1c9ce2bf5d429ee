"""Weights and features leave and enter by the command line, on a real store."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.e2e.test_command_line import vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import load_checkpoint
from vimix_adapters.commands import scoring
from vimix_adapters.commands.caching import FeatureCache, cache_beside, weights_hash
from vimix_adapters.encoders.network import Compute
from vimix_adapters.encoders.s3d import S3DEncoder

pytestmark = pytest.mark.slow

CPU = Compute(torch.device("cpu"))
RECIPE = """
name = "small"
[data]
store = "{store}"
frames = 8
size = 32
workers = 0
[modalities.rgb]
width = 0.0625
[contrast]
queue = 6
embedding = 16
[optim]
batch = 4
[pretrain]
epochs = 1
milestones = []
[run]
precision = "float32"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of ten videos of two classes, a recipe, and weights of others imported into ``weights``."""
    folder = tmp_path_factory.mktemp("travel")
    for number in range(5):
        write_video(folder / f"videos/bow/{number}.mp4", moving_square(16 + 3 * number, 48, 48))
        write_video(folder / f"videos/wave/{number}.mp4", moving_square(20, 48, 48, speed=1 + number))
    store = folder / "s.h5"
    options = ["--flow", "none", "--short-side", 32, "--codec", "raw", "--workers", 1]
    assert vimix("prepare", "folder", folder / "videos", "--out", store, *options) == 0
    (folder / "r.toml").write_text(RECIPE.format(store=store))
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
    still = ["--set", "optim.lr=1e-30", "--set", "optim.weight_decay=0.0"]
    assert vimix(*command, "--out", place / "trained", *still) == 0
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
        pairs = scoring.extract(recipe_of(place), store, {Modality("rgb"): network_of(place)}, CPU)
        (pair,) = pairs.values()
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


def test_another_ending_is_refused_before_anything_is_computed(place, capsys) -> None:
    command = ["extract", place / "r.toml", place / "nowhere", place / "s.h5", "--out", place / "x.pkl"]
    assert vimix(*command) == 2
    assert ".npz, .h5, .csv" in capsys.readouterr().err


OVER_SOMETHING = [
    ("extract {0}/r.toml {0}/weights {0}/s.h5 --out {0}/s.h5", "s.h5 is read by this command"),
    ("extract {0}/r.toml {0}/weights {0}/s.h5 --out {0}/again.h5", "again.h5 is read by this command"),
    ("extract {0}/r.toml {0}/weights {0}/s.h5 --out {0}/copy.h5", "copy.h5 exists and is not features"),
    ("extract {0}/r.toml {0}/weights {0}/s.h5 --out {0}/list.csv", "list.csv exists and is not features"),
    ("index build {0}/r.toml {0}/weights {0}/s.h5 --out {0}/s.h5", "s.h5 is read by this command"),
    ("index build {0}/r.toml {0}/weights {0}/s.h5 --out {0}/weights/last.pt", "last.pt exists and is not an index"),
    ("index build {0}/r.toml {0}/weights {0}/s.h5 --out {0}/r.toml", "r.toml exists and is not an index"),
    ("index build {0}/r.toml {0}/weights {0}/s.h5 --out {0}/weights", "weights is read by this command"),
    ("store export {0}/s.h5 0 --out {0}/s.h5", "s.h5 is read by this command"),
    ("store export {0}/s.h5 0 --out {0}/copy.h5", "copy.h5 exists and is not a video"),
    ("evaluate retrieval {0}/r.toml {0}/weights --out {0}/s.h5", "s.h5: expected a name that ends in .json"),
    ("evaluate linear {0}/r.toml {0}/weights --out {0}/run.json", "run.json exists and is not the JSON of an eval"),
    ("evaluate finetune {0}/r.toml {0}/weights --baseline {0}/b.json --out {0}/b.json", "b.json is read by this"),
    ("export {0}/weights --format safetensors --out {0}/weights/last.pt", "last.pt exists and is not weights"),
    ("export {0}/weights/last.pt --format torchvision --out {0}/weights/last.pt", "last.pt is read by this command"),
    ("export {0}/weights --format torchvision --out {0}/weights/last.pt", "last.pt exists and is not weights"),
    ("export {0}/weights --format safetensors --out {0}/NOTES", "NOTES.md exists and is not a model card"),
    ("experiments table 1 --out {0}/r.toml", "r.toml exists and is not a table"),
    ("experiments figure 3 --runs {0} --out {0}/run.png", "run.json exists and is not the numbers of a figure"),
    ("experiments stages {0} --out {0}/run.json", "run.json exists and is not the JSON of vimix experiments stages"),
    ("bench --tiny --only blend --out {0}/NOTES.md", "NOTES.md exists and is not a report of vimix bench"),
]


@pytest.mark.parametrize(("command", "told"), OVER_SOMETHING)
def test_no_output_takes_the_place_of_an_input_or_of_another_kind_of_file(place, capsys, command, told) -> None:
    record = {"task": "finetune", "scores": {}, "untrained": {}, "protocol": {}, "videos": {}, "seed": 0, "data": ""}
    files = {
        "list.csv": "path,label,split\n",
        "NOTES.md": "# Of my own\n",
        "run.json": '{"format": "vimix-table-1", "rows": []}',
        "b.json": json.dumps({"format": "vimix-results-1", **record, "checkpoints": {"rgb": {"init": "random"}}}),
    }
    for name, text in files.items():
        (place / name).write_text(text)
    (place / "copy.h5").write_bytes((place / "s.h5").read_bytes())
    if not (place / "again.h5").exists():
        (place / "again.h5").hardlink_to(place / "s.h5")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert vimix(*command.format(place).split(), *(["--device", "cpu"] if "r.toml {0}/w" in command else [])) == 2
    assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_what_an_earlier_call_wrote_is_written_anew(place, capsys) -> None:
    """Also where a file was made beforehand and is empty."""
    commands = [
        "extract {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.npz",
        "extract {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.h5",
        "extract {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.csv",
        "index build {0}/r.toml {0}/weights {0}/s.h5 --device cpu --out {0}/twice.index",
        "store export {0}/s.h5 0 --out {0}/twice.mp4",
        "evaluate retrieval {0}/r.toml {0}/weights --device cpu --out {0}/twice.json",
        "export {0}/weights --format safetensors --out {0}/twice.safetensors",
        "export {0}/weights --format torch-export --out {0}/twice.pt2",
        "experiments table 1 --out {0}/twice.md",
        "experiments table 1 --format json --out {0}/twice.table",
    ]
    for command in commands:
        out = Path(command.format(place).split()[-1])
        out.touch()
        for _ in range(2):
            assert vimix(*command.format(place).split()) == 0, capsys.readouterr().err
            assert out.stat().st_size > 0


class Counting:
    """A network that counts how often it is asked."""

    def __init__(self, network) -> None:
        self._network, self.calls = network, 0

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self._network.features(clips)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self._network.state_dict()


def test_features_are_computed_once_and_again_only_when_what_they_depend_on_changed(place, tmp_path) -> None:
    store, counting, cache = wiring.build_store(recipe_of(place)), Counting(network_of(place)), FeatureCache(tmp_path)

    def extract(*overrides: str) -> tuple[bool, np.ndarray]:
        before = counting.calls
        networks = {Modality("rgb"): counting}
        (pair,) = scoring.extract(recipe_of(place, *overrides), store, networks, CPU, cache=cache).values()
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
    counting._network.encoder.features[0][0][0].weight.data += 0.01
    assert extract()[0] is True
    for file in tmp_path.glob("*.npz"):
        file.write_bytes(file.read_bytes()[:-100])
    assert extract()[0] is True
    assert extract()[0] is False


def test_the_hash_of_weights_sees_every_tensor(place) -> None:
    network = network_of(place)
    seen = {weights_hash(network)}
    for value in list(network.state_dict().values())[:20]:
        value.add_(1)
        seen.add(weights_hash(network))
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
