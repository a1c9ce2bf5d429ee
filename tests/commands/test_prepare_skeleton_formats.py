"""``vimix prepare skeletons`` on the data that people have, through the command line."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.cli import vimix
from vimix.values.errors import VimixError
from vimix.values.modality import JOINT
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.datasets.skeleton_labels import by_segments
from vimix_adapters.prepare.single_file import read_as_stored

RNG = np.random.default_rng(0)
BASE = RNG.uniform(50, 400, size=(17, 2))


def pixels(seed: int) -> np.ndarray:
    """Joints [12, 17, 2] of a body that drifts."""
    return BASE + np.random.default_rng(seed).normal(size=(12, 1, 2)).cumsum(0)


def split_list(folder: Path, names: list[str]) -> Path:
    rows = [f"{name},{('bow', 'wave')[i % 2]},{'test' if i > 1 else 'train'}" for i, name in enumerate(names)]
    path = folder.with_name(f"{folder.name}.csv")
    path.write_text("\n".join(["path,label,split", *rows]) + "\n")
    return path


def prepare(source: Path, *options: object, code: int = 0) -> Hdf5VideoStore | None:
    out = source.with_name(f"{source.name}.h5")
    assert vimix("prepare", "skeletons", source, "--out", out, "--frames", 12, "--workers", 1, *options) == code
    return Hdf5VideoStore(out) if code != 2 else None


def listed(store: Hdf5VideoStore) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, class and splits of each sequence."""
    splits = [tuple(s for s in store.splits if n in store.members(s)) for n in range(len(store.videos))]
    return [(v.name, store.classes[v.label], split) for v, split in zip(store.videos, splits, strict=True)]


def test_coco_joints_with_scores_become_a_store_of_x_y_score_without_outliers(tmp_path, capsys) -> None:
    """The left wrist of the first clip is not found in four frames, the nose (the centre) of the second in one."""
    folder = tmp_path / "coco"
    folder.mkdir()
    for i in range(3):
        joints = np.concatenate([pixels(i), np.full((12, 17, 1), 0.9)], 2)
        if i == 0:
            joints[4:8, 9] = 0
        if i == 1:
            joints[6, 0] = 0
        (folder / f"c{i}.txt").write_text(
            "\n".join("{:.6f} {:.6f} {:.3f}".format(*row) for row in joints.reshape(-1, 3))
        )
    names = [f"c{i}.txt" for i in range(3)]
    store = prepare(folder, "--layout", "coco17", "--split", split_list(folder, names))
    assert "joints are x y score (other channels: --channels), persons: 1" in capsys.readouterr().out
    assert (store.settings.channels, store.settings.align, store.settings.persons) == (("x", "y", "score"), "none", 1)
    for i in range(3):
        sequence = store.read(i, JOINT, 0, 12)[:, :, 0]
        np.testing.assert_allclose(sequence[..., :2], pixels(i) - pixels(i)[:, :1], atol=8)
        assert np.abs(np.diff(sequence[..., :2], axis=0)).max() < 8
        assert np.array_equal(read_as_stored(folder / names[i], store.settings, JOINT)[:, :, 0], sequence)
    assert (store.read(0, JOINT, 4, 4)[:, 9, 0, 2] == 0).all()
    assert vimix("store", "verify", tmp_path / "coco.h5") == 0


def test_a_pickle_brings_labels_and_splits_and_what_is_in_no_split_is_named(tmp_path, capsys) -> None:
    annotations = [
        {"frame_dir": f"clip{i}", "label": 10 - i, "total_frames": 12, "keypoint": pixels(i)[None],
         "keypoint_score": np.full((1, 12, 17), 0.5)}
        for i in range(4)
    ]  # fmt: skip
    content = {"split": {"train": ["clip0", "clip2"], "test": ["clip1"]}, "annotations": annotations}
    (tmp_path / "hrnet.pkl").write_bytes(pickle.dumps(content))
    store = prepare(tmp_path / "hrnet.pkl", "--layout", "coco17")
    assert listed(store) == [("clip0", "10", ("train",)), ("clip1", "9", ("test",)), ("clip2", "8", ("train",))]
    assert store.classes == ("8", "9", "10")
    assert "1 sequences are in no split of their file and were not used: clip3" in capsys.readouterr().out
    np.testing.assert_allclose(store.read(2, JOINT, 0, 12)[..., 0, :2], pixels(2) - pixels(2)[:, :1], atol=1e-3)


def metres(seed: int, frames: int = 12, joints: int = 25) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(joints, 3)) * 0.3 + rng.normal(size=(frames, 1, 3)).cumsum(0) * 0.01 + np.array([0, 0, 3])


def pku(folder: Path) -> tuple[Path, Path]:
    """Two untrimmed recordings, their labels, and the list of their splits."""
    labels = folder.with_name("labels")
    for path in (folder, labels):
        path.mkdir()
    for name, frames in (("0001-L", 40), ("0002-L", 30), ("0003-L", 30)):
        rows = np.concatenate([metres(frames, frames).reshape(frames, -1), np.zeros((frames, 75))], 1)
        (folder / f"{name}.txt").write_text("\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows) + "\n")
    (labels / "0001-L.txt").write_text("42,5,17,2\n7,20,32,1\n")
    (labels / "0002-L.txt").write_text("7,3,28,1\n")
    (folder.parent / "cross-view.txt").write_text("Training videos:\n0001-L, \nValidataion videos:\n0002-L, 0003-L\n")
    return labels, folder.parent / "cross-view.txt"


def test_pku_mmd_is_cut_into_its_labelled_segments(tmp_path, capsys) -> None:
    labels, split = pku(tmp_path / "pku")
    store = prepare(tmp_path / "pku", "--labels", labels, "--split", split, "--align", "none", code=3)
    assert listed(store) == [
        ("0001-L.txt#5-17", "42", ("train",)),
        ("0001-L.txt#20-32", "7", ("train",)),
        ("0002-L.txt#3-28", "7", ("test",)),
    ]
    assert store.settings.persons == 2
    expected = metres(40, 40)[5:17]
    found = store.read(0, JOINT, 0, 12)
    np.testing.assert_allclose(found[:, :, 0], expected - expected[:, 20:21], atol=1e-5)
    assert not found[:, :, 1].any()
    assert "0003-L.txt: " in capsys.readouterr().out
    (labels / "0003-L.txt").write_text("7,9\n")
    prepare(tmp_path / "pku", "--labels", labels, "--force", code=2)
    assert "0003-L.txt, line 1: expected label,start,end, found '7,9'" in capsys.readouterr().err


def test_whole_recordings_of_pku_mmd_need_no_labels(tmp_path) -> None:
    pku(tmp_path / "pku")
    names = ["0001-L.txt", "0002-L.txt", "0003-L.txt"]
    store = prepare(tmp_path / "pku", "--split", split_list(tmp_path / "pku", names))
    assert [round(30 * video.frames / video.rate) for video in store.videos] == [40, 30, 30]


def test_nw_ucla_is_split_by_its_views(tmp_path) -> None:
    folder = tmp_path / "ucla"
    folder.mkdir()
    for name in ("a01_s01_e00_v01", "a12_s02_e01_v03", "a07_s02_e01_v03"):
        content = {"file_name": name, "skeletons": metres(1, joints=20).tolist(), "label": 1}
        (folder / f"{name}.json").write_text(json.dumps(content))
    store = prepare(folder, "--layout", "kinect-v1-sdk", code=3)
    assert listed(store) == [
        ("a01_s01_e00_v01.json", "a01 pick up with one hand", ("train",)),
        ("a12_s02_e01_v03.json", "a12 carry", ("test",)),
    ]
    with (tmp_path / "ucla.quarantine.csv").open(newline="") as file:
        assert "an action and a view of NW-UCLA" in next(csv.DictReader(file))["reason"]


def test_kinetics_skeleton_takes_the_labels_beside_it(tmp_path) -> None:
    root = tmp_path / "kinetics"
    for split, names in (("train", ("a", "b", "none")), ("val", ("c",))):
        (root / f"kinetics_{split}").mkdir(parents=True)
        about = {n: {"has_skeleton": n != "none", "label": f"class {n}", "label_index": 1} for n in names}
        (root / f"kinetics_{split}_label.json").write_text(json.dumps(about))
        for i, name in enumerate(names[:2]):
            frames = [{"skeleton": [{"pose": p.ravel().tolist(), "score": [0.5] * 17}]} for p in pixels(i) / 640]
            (root / f"kinetics_{split}" / f"{name}.json").write_text(json.dumps({"data": frames}))
    assert listed(prepare(root, "--layout", "coco17")) == [
        ("kinetics_train/a.json", "class a", ("train",)),
        ("kinetics_train/b.json", "class b", ("train",)),
        ("kinetics_val/c.json", "class c", ("val",)),
    ]


def test_segments_of_recordings_without_a_file_of_their_own_are_refused(tmp_path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    recording = DatasetFile(tmp_path / "clip", "clip/a", None, "a", (), part="a")
    with pytest.raises(VimixError, match="a is one of several there"):
        by_segments([recording], labels, None)


def test_openpose_folders_are_recordings(tmp_path) -> None:
    for i in range(3):
        folder = tmp_path / "pose" / f"video{i}"
        folder.mkdir(parents=True)
        for t, joints in enumerate(pixels(i)):
            flat = np.concatenate([joints, np.full((17, 1), 0.5)], 1).ravel().tolist()
            content = {"people": [{"pose_keypoints_2d": flat}]}
            (folder / f"video{i}_{t:012d}_keypoints.json").write_text(json.dumps(content))
    videos = [f"video{i}.mp4" for i in range(3)]
    store = prepare(tmp_path / "pose", "--layout", "coco17", "--split", split_list(tmp_path / "pose", videos))
    assert [video.name for video in store.videos] == [f"video{i}/video{i}" for i in range(3)]
    np.testing.assert_allclose(store.read(1, JOINT, 0, 12)[..., 0, :2], pixels(1) - pixels(1)[:, :1], atol=1e-3)


def test_arrays_with_axes_named_by_hand_are_stored_masked(tmp_path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    for i in range(3):
        joints = np.stack([metres(i)] * 2)  # [M, T, V, C]
        joints[0, 3, 7] = np.nan
        np.save(folder / f"s{i}.npy", joints.transpose(3, 1, 2, 0))
    names = split_list(folder, [f"s{i}.npy" for i in range(3)])
    options = ["--axes", "CTVM", "--split", names, "--not-found", "mask", "--align", "none"]
    store = prepare(folder, *options)
    found = store.read(0, JOINT, 0, 12)
    assert np.argwhere(np.isnan(found).any(axis=-1)).tolist() == [[3, 7, 0]]
    np.testing.assert_allclose(found[:, :, 1], metres(0) - metres(0)[:, 20:21], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"clip0.json": "{}"}, ["--split", "{list}"], "clip0.json: no frame has a body (found a list of 1"),
        ({}, ["--split", "{list}"], "expected skeleton files (.skeleton, .txt, .csv"),
        ({"a.xyz": "1", "b.xyz": "1"}, [], "found 2 × .xyz"),
        ({"a21_s01_e01_skeleton.txt": "0 0 0"}, [], "is not aAA_sSS_eEE_*.txt with an action of 1 to 20"),
        ({"walk.txt": "1 2 3"}, [], "have no labels, and none is named SsssCcccPpppRrrrAaaa"),
        ({"clip0.txt": " ".join(["1"] * 150)}, ["--split", "{list}", "--layout", "coco17"], "150 numbers in a line"),
        ({"clip0.pkl": "?"}, [], "clip0.pkl: not a pickle that can be read safely"),
        ({"clip0.txt": "1 2 3"}, ["--split", "{list}", "--channels", "x,z"], "channels"),
        ({"clip0.txt": "1 2"}, ["--split", "{list}", "--channels", "x,y", "--align", "shoulders"], "--align none"),
    ],
)
def test_a_set_of_which_nothing_is_read_says_what_was_found(tmp_path, files, options, message, capsys) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    names = split_list(folder, ["clip0.mp4"])
    prepare(folder, *[names if option == "{list}" else option for option in options], code=2)
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "raw.h5").exists()
