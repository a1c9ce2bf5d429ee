"""``vimix.load_encoder`` and ``vimix.embed_videos`` give the features that ``vimix extract`` writes."""

import copy
import json
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
import tomli_w
import torch
from attrs import evolve
from safetensors.torch import save_file

import vimix
from tests.cli import vimix as command
from tests.fakes.skeletons import write_walk
from tests.fakes.store import moving_square, write_video
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.flow.fields import dequantise
from vimix_adapters.pretrained import PretrainedEncoder

pytestmark = pytest.mark.slow

STGCN = {"encoder": "stgcn", "stgcn": {"hidden_channels": 4, "feature_size": 16, "dropout": 0.0}}
ENCODERS = {"rgb": {"width": 0.0625}, "flow": {"width": 0.125, "channels": 2}, "joint": STGCN, "bone": STGCN}
PROTOCOLS = {"rgb": "vimix", "flow": "coclr", "joint": "vimix", "bone": "vimix"}
"""CoCLR's lays other windows, crops less and averages features of length 1."""


def write_recipe(path: Path, store: Path, modality: str) -> Path:
    table = {
        "name": modality,
        "data": {"store": str(store), "frames": 8, "size": 32, "workers": 0},
        "modalities": {modality: ENCODERS[modality]},
        "contrast": {"queue": 6, "bn_groups": 1},
        "optim": {"batch": 2},
        "pretrain": {"epochs": 1, "milestones": []},
        "evaluate": {"protocol": PROTOCOLS[modality]},
        "run": {"precision": "float32"},
    }
    path.write_text(tomli_w.dumps(table))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Videos, two of them shorter than a window, in a JPEG store; skeletons in another; an encoder of each modality.

    Flow is computed from larger pictures than the stored ones, and the graph of the skeletons has a centre of its own.
    """
    folder = tmp_path_factory.mktemp("door")
    for number, frames in enumerate((5, 16, 19, 22, 7, 40)):
        write_video(folder / f"videos/{'ab'[number % 2]}/{number}.mp4", moving_square(frames, 72, 96, speed=1 + number))
        name = f"S001C001P{number + 1:03d}R001A{1 + number % 2:03d}.skeleton"
        write_walk(folder / "skeletons" / name, number, number % 2, bodies=1 + (number == 3))
    packing = ["--flow", "dis", "--short-side", 40, "--flow-short-side", 64, "--flow-bound", 6, "--workers", 1]
    assert command("prepare", "folder", folder / "videos", "--out", folder / "videos.h5", *packing) == 0
    lines = [f"{path.stem}.mp4,{path.stem[-1]},train" for path in (folder / "skeletons").iterdir()]
    (folder / "splits.csv").write_text("\n".join(["path,label,split", *lines]))
    layout = resources.files("vimix_adapters.skeletons").joinpath("layouts/ntu.toml").read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(layout.replace('centre = "spine shoulders"', 'centre = "left hip"'))
    mine = ["--split", folder / "splits.csv", "--layout", folder / "mine.toml"]
    raw = ["prepare", "skeletons", folder / "skeletons", *mine]
    assert command(*raw, "--out", folder / "skeletons.h5", "--frames", 16, "--workers", 1) == 0
    for modality in ENCODERS:
        recipe = write_recipe(folder / f"{modality}.toml", kind_of(modality, folder, ".h5"), modality)
        assert command("pretrain", recipe, "--modality", modality, "--out", folder / modality, "--device", "cpu") == 0
        with_statistics(recipe, stage_of(folder, modality))
    return folder


def with_statistics(recipe: Path, stage: Path) -> None:
    """Give the encoder BatchNorm statistics of the videos: after two steps its features would be all but equal."""
    compute, checkpoint, read = Compute(torch.device("cpu")), load_checkpoint(stage), config.read_recipe(recipe)
    network, store = wiring.build_trained(read, checkpoint, compute), wiring.build_store(read)
    videos = wiring.build_evaluation_clips(read, store, range(6), Modality(checkpoint.modality), compute).videos()
    clips = torch.cat([video.clips for video in videos])
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        network.embed(clips)
    parts = {**checkpoint.parts, "query": network.state_dict()}
    FolderCheckpointStore(stage).save(evolve(checkpoint, parts=parts))


def kind_of(modality: str, folder: Path, suffix: str) -> Path:
    return folder / f"{'videos' if modality in ('rgb', 'flow') else 'skeletons'}{suffix}"


def stage_of(place: Path, modality: str) -> Path:
    return place / modality / f"pretrain-{modality}"


def files_of(modality: str, place: Path, names: list[str]) -> list[Path]:
    return [kind_of(modality, place, "") / name for name in names]


def loaded(place: Path, modality: str) -> PretrainedEncoder:
    return vimix.load_encoder(stage_of(place, modality), device="cpu")


def extract(*inputs: Path, out: Path) -> tuple[list[str], np.ndarray]:
    """The names of videos and their features that ``vimix extract`` writes to ``out``, for recipe, stage and store."""
    assert command("extract", *inputs, "--out", out, "--device", "cpu") == 0
    with np.load(out) as file:
        return file["names"].tolist(), file["features"]


@pytest.fixture(scope="module", params=[*ENCODERS])
def extracted(request, place) -> tuple[str, list[str], np.ndarray]:
    """A modality, the names of its videos and what ``vimix extract`` wrote of them."""
    modality = request.param
    inputs = [place / f"{modality}.toml", stage_of(place, modality), kind_of(modality, place, ".h5")]
    names, features = extract(*inputs, out=place / f"{modality}.npz")
    apart = np.linalg.norm(features - features[:, None], axis=2) + np.eye(6)
    assert (apart > 0.05 * np.linalg.norm(features, axis=1)).all(), "what tells nothing apart always agrees"
    return modality, names, features


def test_files_get_the_features_that_extract_writes_for_their_store(place, extracted) -> None:
    """Features are equal bit for bit: decoding, crops, windows and batches are those of the store's videos."""
    modality, names, features = extracted
    found = vimix.embed_videos(files_of(modality, place, names), loaded(place, modality))
    assert (found.dtype, found.shape) == (np.float32, features.shape)
    np.testing.assert_array_equal(found, features)


def test_one_file_alone_gets_the_same_feature(place, extracted) -> None:
    """But for the rounding of another batch."""
    modality, names, features = extracted
    found = vimix.embed_videos([str(file) for file in files_of(modality, place, names)[3:4]], loaded(place, modality))
    np.testing.assert_allclose(found, features[3:4], rtol=1e-3, atol=1e-3)


def stored(modality: str, place: Path, number: int) -> np.ndarray:
    store = Hdf5VideoStore(kind_of(modality, place, ".h5"))
    kind = store.formats[modality].stored
    return store.read(number, kind, 0, store.videos[number].frames)


def test_frames_of_a_store_get_the_features_that_extract_writes(place, extracted) -> None:
    modality, names, features = extracted
    encoder = loaded(place, modality)
    for number in range(len(names)):
        found = encoder.embed(stored(modality, place, number))
        assert (found.dtype, found.shape) == (torch.float32, (encoder.feature_size,))
        np.testing.assert_allclose(found, features[number], rtol=1e-3, atol=1e-3)
    pair = np.stack([stored(modality, place, 1), stored(modality, place, 1)[:, ::-1]])
    pair.flags.writeable = False
    both = encoder.embed(torch.from_numpy(pair.copy()))
    torch.testing.assert_close(encoder.embed(pair[::-1]), both.flip(0))  # memory of any order, read-only too
    assert both.shape == (2, encoder.feature_size)
    np.testing.assert_allclose(both[0], features[1], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(both[0], both[1])


def test_an_encoder_is_the_same_from_a_file_a_folder_and_an_export(place, extracted, tmp_path, monkeypatch) -> None:
    """Also where the store is not."""
    modality, names, features = extracted
    shutil.copy(stage_of(place, modality) / "last.pt", tmp_path / "moved.pt")
    export = tmp_path / "encoder.safetensors"
    assert command("export", stage_of(place, modality), "--format", "safetensors", "--out", export) == 0
    hidden = kind_of(modality, place, ".h5").rename(tmp_path / "elsewhere.h5")
    try:
        for path in (stage_of(place, modality), str(tmp_path / "moved.pt"), export):
            found = vimix.embed_videos(files_of(modality, place, names), vimix.load_encoder(path, device="cpu"))
            np.testing.assert_array_equal(found, features)
    finally:
        hidden.rename(kind_of(modality, place, ".h5"))


def test_partial_forward_splits_the_encoder_between_any_two_stages(place, extracted) -> None:
    modality, _, features = extracted
    encoder = loaded(place, modality)
    assert not encoder.training
    clips = encoder.clips(stored(modality, place, 5))
    with torch.no_grad():
        whole = encoder(clips)
        assert encoder.partial_forward(clips, 0, 0) is clips
        for cut in range(encoder.depth + 1):
            below = encoder.partial_forward(clips, 0, cut)
            above = encoder.partial_forward(below, cut, encoder.depth)
            torch.testing.assert_close(encoder.chain.pool(above), whole, rtol=1e-3, atol=1e-3)
    if PROTOCOLS[modality] == "vimix":
        np.testing.assert_allclose(whole.mean(0), features[5], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="stages 0 to 99"):
        encoder.partial_forward(clips, 0, 99)


def test_an_encoder_can_be_trained_further_and_embed_leaves_its_mode_alone(place) -> None:
    encoder = loaded(place, "rgb").train()
    frames = stored("rgb", place, 1)
    before = copy.deepcopy(encoder.state_dict())
    encoder.chain.features[0].eval()
    features = encoder.embed(frames)
    assert encoder.training
    assert [module.training for module in encoder.chain.features[:2]] == [False, True]
    assert not features.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    encoder(encoder.clips(frames).repeat(2, 1, 1, 1, 1)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_flow_in_pixels_is_rounded_as_a_store_rounds_it(place) -> None:
    encoder, frames = loaded(place, "flow"), stored("flow", place, 3)
    pixels = dequantise(frames, 6.0)
    assert torch.equal(encoder.embed(pixels), encoder.embed(frames))
    assert torch.equal(encoder.embed(pixels * 100), encoder.embed(np.clip(pixels * 100, -6, 6)))


def test_a_store_given_by_name_decides_how_files_are_packed(place, tmp_path) -> None:
    """Here without JPEG, and of smaller pictures."""
    packing = ["--flow", "none", "--short-side", 32, "--codec", "raw", "--workers", 1]
    assert command("prepare", "folder", place / "videos", "--out", tmp_path / "small.h5", *packing) == 0
    inputs = [place / "rgb.toml", stage_of(place, "rgb"), tmp_path / "small.h5"]
    names, features = extract(*inputs, out=tmp_path / "f.npz")
    encoder = vimix.load_encoder(stage_of(place, "rgb"), store=tmp_path / "small.h5", device="cpu")
    files = files_of("rgb", place, names)
    np.testing.assert_array_equal(vimix.embed_videos(files, encoder), features)
    assert not np.allclose(vimix.embed_videos(files, loaded(place, "rgb")), features)


def test_no_files_are_no_rows(place) -> None:
    assert vimix.embed_videos([], loaded(place, "rgb")).shape == (0, 64)
    assert loaded(place, "rgb").embed(np.empty((0, 4, 8, 8, 3), np.uint8)).shape == (0, 64)


def test_the_callers_threads_are_left_alone(place) -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(3)
    try:
        vimix.embed_videos(files_of("flow", place, ["a/0.mp4"]), loaded(place, "flow"))
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (3, before[1])
    finally:
        cv2.setNumThreads(before[0])


def test_imported_weights_take_the_defaults_of_prepare(place, tmp_path) -> None:
    export = tmp_path / "encoder.safetensors"
    assert command("export", stage_of(place, "rgb"), "--format", "safetensors", "--out", export) == 0
    assert command("import", export, "--modality", "rgb", "--out", tmp_path / "imported") == 0
    packing = ["--flow", "none", "--workers", 1]
    assert command("prepare", "folder", place / "videos", "--out", tmp_path / "default.h5", *packing) == 0
    recipe = tmp_path / "imported.toml"
    recipe.write_text('name = "x"\n[data]\nstore = ""\nworkers = 0\n[modalities.rgb]\nwidth = 0.0625\n')
    names, features = extract(recipe, tmp_path / "imported", tmp_path / "default.h5", out=tmp_path / "f.npz")
    encoder = vimix.load_encoder(tmp_path / "imported", device="cpu")
    np.testing.assert_array_equal(vimix.embed_videos(files_of("rgb", place, names), encoder), features)


def test_a_modality_of_ones_own_takes_frames_but_no_files(place, tmp_path) -> None:
    checkpoint = load_checkpoint(stage_of(place, "rgb"))
    recipe = checkpoint.recipe.replace("[modalities.rgb", "[modalities.change")
    FolderCheckpointStore(tmp_path).save(evolve(checkpoint, modality="change", recipe=recipe))
    encoder, frames = vimix.load_encoder(tmp_path, device="cpu"), stored("rgb", place, 1)
    torch.testing.assert_close(encoder.embed(frames), loaded(place, "rgb").embed(frames))
    with pytest.raises(vimix.VimixError, match=r"a file holds no change: .* give them to \.embed"):
        vimix.embed_videos(files_of("rgb", place, ["a/0.mp4"]), encoder)


U8 = np.uint8
WRONG = [
    ("rgb", np.zeros((9, 40, 50, 3), "f4"), r"expected rgb as uint8 \[T, H, W, 3\] or \[N, T, H, W, 3\], got float32"),
    ("rgb", np.zeros((3, 9, 40, 50), U8), r"got uint8 \[3, 9, 40, 50\]"),
    ("rgb", np.zeros((40, 50, 3), U8), r"got uint8 \[40, 50, 3\]"),
    ("rgb", np.zeros((0, 40, 50, 3), U8), r"got uint8 \[0, 40, 50, 3\]"),
    ("flow", np.zeros((9, 40, 50, 3), U8), r"expected flow as uint8 or floats in pixels \[T, H, W, 2\]"),
    ("flow", np.full((9, 40, 50, 2), np.nan), r"flow holds numbers that are not finite"),
    ("flow", np.zeros((9, 40, 50, 2), np.int64), r"got int64"),
    ("bone", np.zeros((16, 20, 2, 3)), r"with T = 16 and V = 25 joints, or .* got float64 \[16, 20, 2, 3\]"),
    ("bone", np.zeros((50, 25, 2, 3)), r"with T = 16 and V = 25 joints"),
    ("bone", np.zeros((16, 25, 2, 3), U8), r"as floats"),
]


@pytest.mark.parametrize(("modality", "frames", "message"), WRONG)
def test_frames_of_another_kind_are_refused_with_what_was_expected(place, modality, frames, message) -> None:
    encoder = loaded(place, modality)
    for embed in (encoder.embed, encoder.clips):
        with pytest.raises(vimix.VimixError, match=message) as error:
            embed(frames)
        assert "\n" not in str(error.value)


def test_the_windows_of_several_videos_are_refused(place) -> None:
    with pytest.raises(vimix.VimixError, match="expected one video, got 2"):
        loaded(place, "rgb").clips(np.zeros((2, 9, 40, 50, 3), np.uint8))


def broken(place: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    """Paths that are no encoder, with what is said of each."""
    whole = load_checkpoint(stage_of(place, "rgb"))
    (folder / "damaged.pt").write_bytes(b"PK nothing")
    save_file({"features.0": torch.zeros(1)}, folder / "foreign.safetensors")
    FolderCheckpointStore(folder / "empty").save(evolve(whole, parts={"progress": {}}))
    lost = evolve(whole, recipe=whole.recipe.replace("videos.h5", "nowhere.h5"), about={"stage": "pretrain-rgb"})
    FolderCheckpointStore(folder / "lost").save(lost)
    return {
        "missing": (folder / "missing.pt", "there is no such checkpoint"),
        "damaged": (folder / "damaged.pt", "expected a whole vimix checkpoint"),
        "foreign": (folder / "foreign.safetensors", "lack modality, recipe, about, so vimix export did not write it"),
        "empty": (folder / "empty", "expected a checkpoint with an encoder .*, found one with progress"),
        "lost": (folder / "lost", "does not say how its videos were packed, and its store .*nowhere.h5 does not exist"),
    }


def test_what_is_no_encoder_is_refused_in_one_line(place, tmp_path) -> None:
    for path, message in broken(place, tmp_path).values():
        with pytest.raises(vimix.VimixError, match=message) as error:
            vimix.load_encoder(path, device="cpu")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    for modality, store, message in (
        ("bone", "videos.h5", "rgb, flow"),
        ("rgb", "skeletons.h5", "joint, motion, bone"),
    ):
        with pytest.raises(vimix.VimixError, match=f"an encoder of {modality}, which a store of {message} does not"):
            vimix.load_encoder(stage_of(place, modality), store=place / store, device="cpu")


def test_a_checkpoint_that_does_not_say_how_its_store_was_packed_looks_at_the_store(place, tmp_path) -> None:
    whole = load_checkpoint(stage_of(place, "rgb"))
    assert json.loads(str(whole.about["packing"]))["short_side"] == 40
    FolderCheckpointStore(tmp_path).save(evolve(whole, about={"stage": "pretrain-rgb"}))
    assert vimix.load_encoder(tmp_path, device="cpu").packing == loaded(place, "rgb").packing


def test_a_file_that_cannot_be_read_is_named(place, tmp_path) -> None:
    encoder = loaded(place, "rgb")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(vimix.VimixError, match=r"broken\.mp4: not a readable video"):
        vimix.embed_videos([*files_of("rgb", place, ["a/0.mp4"]), tmp_path / "broken.mp4"], encoder)
    with pytest.raises(vimix.VimixError, match=r"expected a list of files, got one path: write \['a\.mp4'\]"):
        vimix.embed_videos("a.mp4", encoder)


def test_importing_vimix_imports_no_torch_and_no_adapter() -> None:
    code = "import sys, vimix; sys.exit(bool({'torch', 'vimix_adapters'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert {"load_encoder", "embed_videos"} <= set(vimix.__all__)
    for name in vimix.__all__:
        assert getattr(vimix, name).__doc__, name
