"""HDF5 stores: what is kept exactly, what JPEG costs, and what is refused."""

import json

import h5py
import numpy as np
import pytest

from tests.builders import hdf5, shard
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.foreign import read_weights
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import Entry, is_part, merge_parts, write_part
from vimix_adapters.commands.paper_tables import find_results
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.hmdb51 import list_hmdb51
from vimix_adapters.datasets.skeleton_files import list_ntu
from vimix_adapters.indexes.store_index import ClipIndex


def one_video(folder, codec: str, frames) -> Hdf5VideoStore:
    settings = PackSettings(codec=codec, flow="dis")
    write_part(folder / "a.part", frames, 30.0, settings)
    merge_parts(folder / "s.h5", [Entry(folder / "a.part", "a", 0, "a", ("train",))], ["c"], settings, 0)
    return Hdf5VideoStore(folder / "s.h5")


def test_raw_frames_are_kept_bit_for_bit_and_jpeg_frames_nearly(tmp_path) -> None:
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.integers(0, 3, (5, 32, 40, 1)), axis=2)
    frames = {RGB: np.repeat(smooth, 3, axis=3).astype(np.uint8), FLOW: np.repeat(smooth, 2, axis=3).astype(np.uint8)}
    frames[FLOW][..., 1] += 100
    for modality, pictures in frames.items():
        raw = one_video(tmp_path, "raw", frames).read(0, modality, 0, 5)
        assert np.array_equal(raw, pictures)
        jpeg = one_video(tmp_path, "jpeg", frames).read(0, modality, 0, 5)
        assert np.abs(jpeg.astype(int) - pictures).max() <= 6


def test_u_and_v_do_not_leak_into_each_other_through_jpeg(tmp_path) -> None:
    """A colour JPEG would mix them in its chroma channels; two grey halves are independent."""
    flow = np.full((2, 32, 32, 2), 128, dtype=np.uint8)
    flow[:, ::2, ::2, 0] = 255
    stored = one_video(tmp_path, "jpeg", {RGB: np.zeros((2, 32, 32, 3), np.uint8), FLOW: flow}).read(0, FLOW, 0, 2)
    assert np.abs(stored[..., 1].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyError])
def test_whatever_hdf5_says_of_damaged_data_the_video_is_named(tmp_path, monkeypatch, error) -> None:
    """h5py raises each of these, depending on the byte that is wrong; the loader then takes another video."""
    store = one_video(tmp_path, "raw", {RGB: np.zeros((2, 32, 32, 3), np.uint8)})

    def damaged(video: int) -> None:
        raise error("incorrect metadata checksum")

    monkeypatch.setattr(store, "group", damaged)
    with pytest.raises(VimixError, match=r"s\.h5: a \(rgb\) cannot be read: .*incorrect metadata checksum"):
        store.read(0, RGB, 0, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such store"), (b"", "does not open"), (b"not hdf5 at all" * 100, "does not open")],
)
def test_what_is_no_store_is_refused_by_name(tmp_path, content, message) -> None:
    path = tmp_path / "x.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VimixError, match=message) as refused:
        Hdf5VideoStore(path)
    assert str(path) in str(refused.value)


def test_a_folder_where_a_file_is_expected_is_refused_as_a_folder(tmp_path) -> None:
    for opened in (ClipIndex.load, read_weights):
        with pytest.raises(VimixError, match=f"{tmp_path} is a folder, no (index|file of weights); "):
            opened(tmp_path)
    with pytest.raises(VimixError, match=f"{tmp_path}: expected a store, but the folder has no index.h5"):
        Hdf5VideoStore(tmp_path)
    file = tmp_path / "file"
    file.touch()
    for listed in (list_folder, lambda path: list_ntu(path, 60), find_results, lambda path: list_hmdb51(path, path)):
        with pytest.raises(VimixError, match="file is a file, not a folder; expected "):
            listed(file)


def test_flow_is_advised_where_flow_is_what_a_store_lacks(tmp_path) -> None:
    def refusal(modality: str) -> str:
        pixels = config.ModalitySettings()
        recipe = config.Recipe("r", config.Data(store=str(path)), modalities={modality: pixels})
        with pytest.raises(VimixError, match=f"has no modality '{modality}', only rgb: .*remove it") as refused:
            wiring.build_store(recipe)
        return str(refused.value)

    path = shard(tmp_path / "s.h5", ["a/0"])
    assert "add it with vimix flow" in refusal("flow")
    assert "vimix flow" not in refusal("joint")


def test_another_schema_is_refused(tmp_path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["schema"] = "other"
    with pytest.raises(VimixError, match="schema 'other', expected 'vimix-store-2'"):
        Hdf5VideoStore(tmp_path / "x.h5")


def test_a_damaged_frame_names_the_store_and_the_video(tmp_path) -> None:
    store = hdf5(tmp_path, "jpeg")
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        file["videos/00000001/rgb"][:] = 0
    with pytest.raises(VimixError, match=r"store\.h5: 1\.mp4 \(rgb\) cannot be read: a frame is not a JPEG picture"):
        store.read(1, RGB, 0, 2)


def test_the_fingerprint_follows_the_content(tmp_path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    one, same = (hdf5(tmp_path / name, "raw").fingerprint for name in ("a", "b"))
    assert one == same
    changed = np.full((9, 6, 8, 3), 7, np.uint8)
    assert one_video(tmp_path / "c", "raw", {RGB: changed, FLOW: changed[..., :2]}).fingerprint != one


def test_half_a_part_is_not_a_part(tmp_path) -> None:
    settings, pictures = PackSettings(codec="raw", flow="none"), np.zeros((3, 8, 8, 3), np.uint8)
    write_part(tmp_path / "a", {RGB: pictures}, 30.0, settings)
    assert is_part(tmp_path / "a")
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes()[:200])
    assert not is_part(tmp_path / "b")
    assert not is_part(tmp_path / "missing")


@pytest.mark.slow
def test_a_store_of_many_videos_has_room_for_its_head(tmp_path) -> None:
    """The list of videos is longer than 64 KiB, the limit of attributes in old HDF5 formats."""
    settings = PackSettings(codec="raw", flow="none")
    write_part(tmp_path / "a", {RGB: np.zeros((1, 2, 2, 3), np.uint8)}, 30.0, settings)
    entries = [Entry(tmp_path / "a", f"{'x' * 80}{i}.mp4", 0, f"s{i}", ("train",)) for i in range(1500)]
    merge_parts(tmp_path / "s.h5", entries, ["c"], settings, quarantined=3)
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert len(store.videos) == 1500
    assert store.quarantined == 3
    with h5py.File(tmp_path / "s.h5") as file:
        assert len(json.loads(file["head"][...].tobytes())["videos"]) == 1500
