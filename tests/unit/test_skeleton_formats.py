"""Skeleton files as people have them: each format gives the joints that were written, or says what was found."""

import csv
import io
import json
import pickle

import numpy as np
import pytest

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.array_files import open_array
from vimix_adapters.skeletons.formats import read_skeletons, samples_in
from vimix_adapters.skeletons.json_files import parse_json
from vimix_adapters.skeletons.number_tables import parse_table
from vimix_adapters.skeletons.pickles import open_pickle
from vimix_adapters.skeletons.sequence import Expected

RNG = np.random.default_rng(0)
METRES = RNG.uniform(-1, 1, size=(4, 2, 25, 3)) + np.array([0, 0, 3])
"""Joints [T, M, V, 3] of two bodies."""
PIXELS = RNG.uniform(10, 600, size=(4, 1, 17, 2)).round(2)
SCORES = RNG.uniform(0.1, 1, size=(4, 1, 17)).round(3)
MARKS = RNG.uniform(0.1, 1, size=(4, 33, 4)).round(4)
"""MediaPipe's landmarks [T, 33, x y z visibility]."""
COCO, NTU, MEDIAPIPE = Expected(17), Expected(25), Expected(33)


def lines(rows, separator=" ") -> str:
    return "\n".join(separator.join(f"{number:.9g}" for number in row) for row in rows) + "\n"


def scored(raw, joints=PIXELS, scores=SCORES) -> None:
    """Check a sequence of joints x y score."""
    assert raw.channels == ("x", "y", "score")
    np.testing.assert_allclose(raw.joints, joints.reshape(-1, *joints.shape[2:]), rtol=1e-6)
    np.testing.assert_allclose(raw.scores, scores.reshape(-1, joints.shape[2]), rtol=1e-6)


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
@pytest.mark.parametrize("head", ["", "NTU skeletons of one recording\n", "# a remark\n"])
@pytest.mark.parametrize("numbered", [False, True])
def test_a_frame_a_line_holds_one_or_several_bodies(separator, head, numbered) -> None:
    """PKU-MMD has 150 numbers a line: two bodies of 25 joints."""
    for count in (1, 2):
        rows = METRES[:, :count].reshape(4, -1)
        rows = np.concatenate([np.arange(1, 5)[:, None], rows], 1) if numbered else rows
        raw = parse_table((head + lines(rows, separator)).encode(), NTU)
        assert (raw.channels, raw.places) == (("x", "y", "z"), count)
        assert raw.frame.tolist() == [t for t in range(4) for _ in range(count)]
        np.testing.assert_allclose(raw.joints, METRES[:, :count].reshape(-1, 25, 3), rtol=1e-8)


def test_a_second_body_of_zeros_is_absent() -> None:
    rows = np.concatenate([METRES[:, 0].reshape(4, -1), np.zeros((4, 75))], 1)
    raw = parse_table(lines(rows).encode(), NTU)
    assert (raw.slot.tolist(), raw.places) == ([0] * 4, 2)


def test_a_joint_a_line_is_x_y_or_x_y_score_or_x_y_z() -> None:
    both = np.concatenate([PIXELS, SCORES[..., None]], -1).reshape(-1, 3)
    scored(parse_table(lines(both).encode(), COCO))
    assert parse_table(lines(both[:, :2]).encode(), COCO).channels == ("x", "y")
    depth = both * (0.001, 0.001, 1)
    assert parse_table(lines(depth).encode(), COCO).channels == ("x", "y", "z"), "in metres nothing is beyond 2"
    named = Expected(17, ("x", "y", "score"))
    assert parse_table(lines(depth).encode(), named).channels == ("x", "y", "score")
    with pytest.raises(VimixError, match="no score, which is from 0 to 1: give --channels x,y,z"):
        parse_table(lines(both + 1).encode(), named)


@pytest.mark.parametrize(
    ("head", "order"),
    [
        ([f"{c}{j}" for j in range(33) for c in ("x", "y", "z", "v")], "joint"),
        ([f"POINT{'ABC'[j % 3]}{j}_{c}" for j in range(33) for c in ("x", "y", "z", "visibility")], "joint"),
        ([f"{c}_{j}" for c in ("x", "y", "z", "visibility") for j in range(33)], "channel"),
    ],
)
def test_a_head_line_names_joints_and_channels(head, order) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["frame", "timestamp", *head])
    for t, marks in enumerate(MARKS):
        if t != 1:  # nobody was seen
            writer.writerow([t, t / 30, *(marks if order == "joint" else marks.T).ravel()])
    raw = parse_table(text.getvalue().encode(), MEDIAPIPE)
    assert raw.frame.tolist() == [0, 2, 3]
    np.testing.assert_allclose(raw.joints, MARKS[[0, 2, 3], :, :3])
    np.testing.assert_allclose(raw.scores, MARKS[[0, 2, 3], :, 3])


def test_a_head_line_over_a_joint_a_line_chooses_the_columns() -> None:
    rows = ["frame,landmark,x,y,z,visibility,presence"]
    rows += [f"{t},{j}," + ",".join(map(str, MARKS[t, j])) + ",0" for t in (3, 5) if t < 4 for j in range(33)]
    raw = parse_table("\n".join(rows).encode(), MEDIAPIPE)
    np.testing.assert_allclose(raw.joints, MARKS[3:4, :, :3])
    np.testing.assert_allclose(raw.scores, MARKS[3:4, :, 3])


def test_two_persons_of_a_frame_are_two_bodies_in_whatever_order_the_rows_are() -> None:
    rows = ["frame,person_id,joint,x,y,z"]
    rows += [
        f"{t},{m * 40 + 7},{j}," + ",".join(map(str, METRES[t, m, j]))
        for t in (2, 0, 1)
        for m in (1, 0)
        for j in range(25)
    ]
    raw = parse_table("\n".join(rows).encode(), NTU)
    assert (raw.frame.tolist(), raw.slot.tolist()) == ([0, 0, 1, 1, 2, 2], [0, 1] * 3)
    assert raw.body.tolist() == [1, 0] * 3
    np.testing.assert_allclose(raw.joints, METRES[:3, ::-1].reshape(-1, 25, 3))


def test_an_empty_cell_is_a_joint_that_was_not_found() -> None:
    rows = lines(METRES[:, 0].reshape(4, -1), ",").splitlines()
    rows[1] = ",,," + rows[1].split(",", 3)[3]
    raw = parse_table("\n".join(rows).encode(), NTU)
    assert np.isnan(raw.joints[1, 0]).all()
    assert np.isfinite(raw.joints).sum() == 4 * 75 - 3


def test_msr_daily_activity_has_blocks_of_world_and_picture() -> None:
    text = "2 25\n"
    for frame in METRES[:2]:
        text += f"{2 * 2 * 25}\n"
        text += "".join(f"{x:.9g} {y:.9g} {z:.9g} 1\n0.5 0.5 3 1\n" for x, y, z in frame.reshape(-1, 3))
    raw = parse_table(text.encode(), NTU)
    np.testing.assert_allclose(raw.joints, METRES[:2].reshape(-1, 25, 3), rtol=1e-8)
    with pytest.raises(VimixError, match="line 1: 25 joints, the layout has 17"):
        parse_table(text.encode(), COCO)
    with pytest.raises(VimixError, match="line 2: expected 50 lines for each body, found 99 of 100"):
        parse_table("\n".join(text.splitlines()[:101]).encode(), NTU)


def as_json(value) -> bytes:
    return json.dumps(value).encode()


def kinetics() -> bytes:
    frames = [
        {"frame_index": t + 1, "skeleton": [{"pose": PIXELS[t, 0].ravel().tolist(), "score": SCORES[t, 0].tolist()}]}
        for t in range(4)
    ]
    return as_json({"data": frames, "label": "walk", "label_index": 3})


def openpose(t: int) -> dict:
    flat = np.concatenate([PIXELS[t, 0], SCORES[t, 0][:, None]], 1).ravel().tolist()
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat, "face_keypoints_2d": []}]}


@pytest.mark.parametrize("make", [kinetics, lambda: as_json([openpose(t) for t in range(4)])])
def test_kinetics_skeleton_and_openpose_give_x_y_score(make) -> None:
    scored(parse_json(make(), COCO))


def test_frames_without_persons_are_kept_and_two_persons_are_two() -> None:
    two = {"people": openpose(0)["people"] + openpose(1)["people"]}
    raw = parse_json(as_json([{"people": []}, two, None, openpose(2)]), COCO)
    assert (raw.frame.tolist(), raw.slot.tolist()) == ([1, 1, 3], [0, 1, 0])


def landmarks(t: int) -> list[dict]:
    return [dict(zip(("x", "y", "z", "visibility"), mark, strict=True)) for mark in MARKS[t].tolist()]


@pytest.mark.parametrize(
    "dump",
    [
        lambda: [landmarks(t) for t in range(4)],
        lambda: {"frames": [{"frame": t, "landmarks": landmarks(t)} for t in range(4)]},
        lambda: [{"pose_landmarks": [landmarks(t)]} for t in range(4)],
        lambda: {str(t): landmarks(t) for t in range(4)},
        lambda: [{f"P{j}": mark for j, mark in enumerate(landmarks(t))} for t in range(4)],
        lambda: MARKS.tolist(),
    ],
)
def test_mediapipe_landmarks_are_read_as_people_dump_them(dump) -> None:
    raw = parse_json(as_json(dump()), MEDIAPIPE)
    assert raw.channels == ("x", "y", "z")
    np.testing.assert_allclose(raw.joints, MARKS[..., :3])
    np.testing.assert_allclose(raw.scores, MARKS[..., 3])


def test_nw_ucla_is_read() -> None:
    content = {"file_name": "a01_s01_e00_v01", "skeletons": METRES[:, 0].tolist(), "label": 1}
    raw = parse_json(as_json(content), NTU)
    np.testing.assert_allclose(raw.joints, METRES[:, 0])


def test_openpose_writes_a_file_for_each_frame(tmp_path) -> None:
    for t in (0, 2, 3):
        (tmp_path / f"walk_{t + 5:012d}_keypoints.json").write_text(json.dumps(openpose(t)))
    (tmp_path / "run_000000000001_keypoints.json").write_text(json.dumps(openpose(1)))
    raw = read_skeletons(tmp_path, COCO, "walk")
    assert raw.frame.tolist() == [0, 2, 3]
    np.testing.assert_allclose(raw.joints, PIXELS[[0, 2, 3], 0])
    (tmp_path / "walk_000000000006_keypoints.json").write_text("?")
    with pytest.raises(VimixError, match=r"walk_000000000006_keypoints\.json: not valid JSON"):
        read_skeletons(tmp_path, COCO, "walk")


def test_openpose_files_whose_numbers_are_times_are_refused_with_their_first_wide_gap(tmp_path) -> None:
    def read(*numbers: int):
        folder = tmp_path / str(numbers[-1])
        folder.mkdir()
        for number in numbers:
            (folder / f"walk_{number:012d}_keypoints.json").write_text(json.dumps(openpose(0)))
        return read_skeletons(folder, COCO, "walk")

    assert read(5, 6, 8, 404).frame.tolist() == [0, 1, 3, 399]
    assert read(10**15).frame.tolist() == [0]
    for last in (405, 10**15 + 7):  # the small one first, which needs no memory if it is not refused
        expected = f"^4 files are numbered from 5 to {last}, with the first wide gap from 8 to {last}: expected numbers"
        with pytest.raises(VimixError, match=expected + r" of frames, .* number the files 0, 1, 2, [^\n]*$"):
            read(5, 6, 8, last)
    with pytest.raises(VimixError, match="from 9 to 1000, with the first wide gap from 9 to 500: "):
        read(9, 500, 1000)


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("axes", ["TMVC", "CTVM", "MTVC", "VCMT"])
def test_arrays_are_read_by_the_names_of_their_axes(axes) -> None:
    joints = METRES.transpose(["TMVC".index(letter) for letter in axes])
    for data, expected in ((npz(joints=joints, axes=axes), NTU), (npy(joints), Expected(25, None, axes))):
        raw = open_array(data).read("", expected)
        np.testing.assert_allclose(raw.joints, METRES.reshape(-1, 25, 3))


def test_the_array_format_of_vimix_holds_scores_names_labels_and_splits(tmp_path) -> None:
    joints = np.concatenate([PIXELS, SCORES[..., None]], -1)
    whole = np.stack([joints, joints[::-1]])
    about = {"names": ["a", "b"], "labels": ["walk", "run"], "splits": ["train", "test"]}
    np.savez(tmp_path / "set.npz", joints=whole, axes="NTMVC", channels=["x", "y", "score"], **about)
    samples = samples_in(tmp_path / "set.npz")
    assert [(s.name, s.label, s.splits) for s in samples] == [("a", "walk", ("train",)), ("b", "run", ("test",))]
    scored(read_skeletons(tmp_path / "set.npz", COCO, "b"), PIXELS[::-1], SCORES[::-1])
    np.savez(tmp_path / "one.npz", joints=PIXELS, scores=SCORES)
    scored(read_skeletons(tmp_path / "one.npz", COCO))
    with pytest.raises(VimixError, match="it has 2 sequences: expected a file with one"):
        read_skeletons(tmp_path / "set.npz", COCO)


def test_the_arrays_of_ctr_gcn_are_read() -> None:
    rows = METRES.reshape(1, 4, -1)
    file = open_array(npz(x_train=rows, y_train=np.eye(60)[[7]], x_test=rows[:, ::-1], y_test=np.eye(60)[[9]]))
    assert [(s.label, s.splits) for s in file.samples] == [("7", ("train",)), ("9", ("test",))]
    raw = file.read(file.samples[1].name, NTU)
    np.testing.assert_allclose(raw.joints, METRES[::-1].reshape(-1, 25, 3))


WIDE = r"line 1: 150 numbers in a line: expected 2 or 3 for each joint.*34 or 51"


@pytest.mark.parametrize(
    ("ending", "expected", "data", "message"),
    [
        (".txt", COCO, lines(METRES.reshape(4, -1)).encode(), WIDE),
        (".txt", COCO, b"1 2 3\n1 2\n", "line 2: 2 numbers in a line, the lines before have 3"),
        (".csv", COCO, b"1 2 3\n1 x 3\n", "line 2: expected numbers, found '1 x 3'"),
        (".csv", COCO, b"a,b\nc,d\n", "line 2: expected numbers, found 'c,d'"),
        (".csv", COCO, b"x0,y0,x1,y1\n1,2,3,4\n", "names x and y of 2 joints, the layout has 17"),
        (".csv", COCO, b"", "empty file"),
        (".json", MEDIAPIPE, b"{", "not valid JSON"),
        (".json", MEDIAPIPE, b"{}", "no frame has a body"),
        (".json", MEDIAPIPE, b"3", "expected frames of bodies, found '3'"),
        (".json", MEDIAPIPE, kinetics(), "frame 1: expected bodies of 33 joints, as the layout has, found 34 numbers"),
        (".json", MEDIAPIPE, as_json({"data": [{"boxes": [1]}]}), "found an object of boxes"),
        (".json", MEDIAPIPE, as_json([[1, 2, 3]]), "found a list of 1, the first 3 numbers|found 3 numbers"),
        (".npy", NTU, npy(METRES), r"an array of shape \(4, 2, 25, 3\) whose axes have no names: .*--axes CTVM"),
        (".npz", NTU, npz(joints=METRES, axes="TVC"), r"axes TVC do not describe an array of shape \(4, 2, 25, 3\)"),
        (".npz", NTU, npz(joints=METRES[:, :, :17]), "17 joints, the layout has 25"),
        (".npz", NTU, npz(joints=METRES, channels=["x", "y"]), "channels names 2 of 3 channels"),
        (".npz", NTU, npz(a=METRES, b=METRES), "expected an array named joints, found a, b"),
        (".npz", NTU, npz(joints=np.array(["a"])), "expected an array of numbers"),
        (".npy", NTU, npy(np.array([{}], dtype=object)), "without pickled objects"),
        (".npz", NTU, b"PK\x03\x04", "not an array of NumPy"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_was_found(tmp_path, ending, expected, data, message) -> None:
    (tmp_path / f"a{ending}").write_bytes(data)
    with pytest.raises(VimixError, match=message):
        read_skeletons(tmp_path / f"a{ending}", expected)


def annotation(name="clip0", **changes) -> dict:
    keypoint, score = PIXELS.swapaxes(0, 1).astype(np.float16), SCORES.swapaxes(0, 1).astype(np.float16)
    shape = {"img_shape": (480, 640), "original_shape": (480, 640), "total_frames": 4}
    return {"frame_dir": name, "label": 1, **shape, "keypoint": keypoint, "keypoint_score": score, **changes}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_pyskl_are_read_whatever_their_protocol(protocol) -> None:
    content = {"split": {"xsub_train": ["clip0"], "xview_val": ["clip0"]}, "annotations": [annotation()]}
    file = open_pickle(pickle.dumps(content, protocol))
    assert [(s.name, s.label, s.splits) for s in file.samples] == [("clip0", "1", ("xsub_train", "xview_val"))]
    half = PIXELS.astype(np.float16).astype(float)
    scored(file.read("clip0", COCO), half, SCORES.astype(np.float16).astype(float))


def test_lists_of_annotations_and_three_dimensional_ones_are_read() -> None:
    items = [annotation("a", label=np.int64(3)), annotation("b", keypoint=METRES.swapaxes(0, 1), keypoint_score=None)]
    file = open_pickle(pickle.dumps(items))
    assert [sample.label for sample in file.samples] == ["3", "1"]
    assert file.read("b", NTU).channels == ("x", "y", "z")
    np.testing.assert_allclose(file.read("b", NTU).joints, METRES.reshape(-1, 25, 3))


class Dangerous:
    def __reduce__(self):
        return open, ("/nowhere/at/all", "w")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps([annotation(extra=Dangerous())]), r"it holds .*open, expected only arrays"),
        (pickle.dumps([annotation(label=np.random.default_rng)]), "expected only arrays, numbers and texts"),
        (pickle.dumps([annotation()])[:-20], "not a pickle that can be read safely"),
        (b"", "not a pickle that can be read safely"),
        (pickle.dumps({"a": 1}), "expected annotations as pyskl and mmaction2 write them, found a dict of a"),
        (pickle.dumps([annotation(), annotation()]), "1 annotations have the name"),
    ],
)
def test_a_pickle_that_holds_more_than_arrays_is_not_run(data, message) -> None:
    with pytest.raises(VimixError, match=message):
        open_pickle(data)


@pytest.mark.parametrize("key", ["²", "9" * 5000])
def test_a_key_that_is_no_number_of_a_frame_is_not_taken_for_one(key) -> None:
    with pytest.raises(VimixError, match="expected bodies of 17 joints, as the layout has"):
        parse_json(as_json({key: []}), COCO)


@pytest.mark.parametrize(
    ("names", "kind"), [(3, "int"), (None, "NoneType"), (np.array(1.0), "ndarray"), ("clip0", "str")]
)
def test_a_split_of_a_pickle_that_is_no_list_is_refused_by_its_name(names, kind) -> None:
    content = {"split": {"test": ["clip0"], "train": names}, "annotations": [annotation()]}
    with pytest.raises(VimixError, match=f"^split 'train': expected a list of names, found {kind}$"):
        open_pickle(pickle.dumps(content))


def test_an_annotation_without_joints_says_what_it_has() -> None:
    file = open_pickle(pickle.dumps([{"frame_dir": "a", "label": 0, "raw_file": "x"}]))
    with pytest.raises(VimixError, match="expected an annotation with keypoint, found frame_dir, label, raw_file"):
        file.read("a", COCO)
