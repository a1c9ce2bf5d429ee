"""Skeleton files: any bytes give a sequence or a reason; what is chosen, moved and resized afterwards."""

import contextlib
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.skeletons import FIVE, ntu_text
from vimix.values.errors import VimixError
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.bodies import chosen_persons
from vimix_adapters.skeletons.formats import read_skeletons
from vimix_adapters.skeletons.json_files import parse_json
from vimix_adapters.skeletons.number_tables import parse_table
from vimix_adapters.skeletons.preprocess import centred, facing, preprocessed, resize
from vimix_adapters.skeletons.sequence import Expected, raw_sequence
from vimix_adapters.skeletons.texts import parse_ntu

V5 = Expected(5)


def body(seed: int, joints: int = 5, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=(joints, 3))


@st.composite
def recordings(draw) -> list[list[tuple[int, np.ndarray]]]:
    """1 to 6 frames of 0 to 6 bodies that come and go, at least one in all."""
    frames = draw(st.lists(st.lists(st.integers(1, 2**62), max_size=6, unique=True), min_size=1, max_size=6))
    frames[draw(st.integers(0, len(frames) - 1))].append(72057594037931101)
    return [[(number, body(t * 7 + place)) for place, number in enumerate(ids)] for t, ids in enumerate(frames)]


@settings(max_examples=40)
@given(frames=recordings(), newline=st.sampled_from(["\n", "\r\n"]), end=st.sampled_from([b"", b"\n\n", b"\r\n"]))
def test_what_was_written_is_read(frames, newline, end) -> None:
    raw = parse_ntu(ntu_text(frames, newline) + end, V5)
    seen = [(t, number, place, x) for t, bodies in enumerate(frames) for place, (number, x) in enumerate(bodies)]
    assert list(zip(raw.frame, raw.body, raw.slot, strict=True)) == [row[:3] for row in seen]
    np.testing.assert_allclose(raw.joints, np.stack([row[3] for row in seen]), rtol=1e-8)


@pytest.mark.slow
@settings(max_examples=150)
@given(frames=recordings(), data=st.data())
def test_a_file_cut_anywhere_or_with_any_bytes_inside_is_read_or_refused_with_a_reason(frames, data) -> None:
    text = ntu_text(frames)
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(
        st.one_of(st.just(b""), st.binary(max_size=8), st.sampled_from([b"nan", b"1e999", b"-3", b"9" * 30]))
    )
    rest = data.draw(st.sampled_from([b"", text[at + len(junk) :]]))
    with contextlib.suppress(VimixError):
        raw = parse_ntu(text[:at] + junk + rest, V5)
        found = np.isfinite(raw.joints).all(axis=2)
        assert found.any(axis=1).all()
        assert raw.joints[found].any(axis=1).all()


@settings(max_examples=150)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data) -> None:
    for parse in (parse_ntu, parse_table, parse_json):
        with contextlib.suppress(VimixError):
            assert len(parse(data, Expected(2)).joints)


WHOLE = ntu_text([[(1, body(0)), (2, body(1))], []]).decode().split("\n")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "x", "line 1: expected the number of frames, found 'x'"),
        (1, "-1", "line 1: expected the number of frames, found '-1'"),
        (1, "3", "truncated: after line 17 the number of bodies was expected"),
        (1, "1", "line 17: more lines than the declared frames have"),
        (2, "6", "line 17: expected the values of a body, 10 numbers, found '0'"),
        (3, "1 2 3", "line 3: expected the values of a body, 10 numbers, found '1 2 3'"),
        (3, "a 0 1 1 1 1 0 0 0 2", "line 3: expected a body's number, found 'a'"),
        (3, f"{2**63} 0 1 1 1 1 0 0 0 2", "line 3: expected a body's number"),
        (4, "4", "line 4: 4 joints, the layout has 5"),
        (6, "1 2 3", "line 6: expected the values of a joint, 12 numbers, found '1 2 3'"),
        (6, "1 x 3 0 0 0 0 0 0 0 0 2", "line 6: expected the values of a joint, found '1 x 3'"),
        (6, "1 inf 3 0 0 0 0 0 0 0 0 2", "not a finite number"),
        (6, "1 2e6 3 0 0 0 0 0 0 0 0 2", "not a finite number below a million"),
    ],
)
def test_a_mistake_is_named_with_its_line(line, text, message) -> None:
    lines = list(WHOLE)
    lines[line - 1] = text
    with pytest.raises(VimixError, match=message):
        parse_ntu("\n".join(lines).encode(), V5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b" \r\n\n", "empty file"),
        (ntu_text([]), "no frame has a body"),
        (ntu_text([[], []]), "no frame has a body"),
        (ntu_text([[(1, np.zeros((5, 3)))]]), "all coordinates are zero"),
    ],
)
def test_a_file_without_a_body_is_refused(data, message) -> None:
    with pytest.raises(VimixError, match=message):
        parse_ntu(data, V5)


def test_rows_of_joints_are_one_body() -> None:
    joints = np.stack([body(t) for t in range(3)])
    text = "\r\n".join(f"{x:.9g} {y:.9g}\t{z:.9g} 1.0" for x, y, z in joints.reshape(-1, 3))
    raw = parse_table(text.encode(), V5)
    np.testing.assert_allclose(raw.joints, joints, rtol=1e-8)
    assert raw.frame.tolist() == [0, 1, 2]
    with pytest.raises(VimixError, match="line 15: the last frame has 3 of 4 joints"):
        parse_table(text.encode(), Expected(4))


@pytest.mark.timeout(20)
def test_a_path_that_is_not_a_regular_file_is_refused_at_once(tmp_path) -> None:
    os.mkfifo(tmp_path / "a.skeleton")
    for path, message in (
        (tmp_path / "a.skeleton", "regular"),
        (tmp_path, "without OpenPose's"),
        (tmp_path / "b.txt", "cannot be opened"),
        (tmp_path / "b.avi", "expected one of .skeleton, .* found .avi"),
    ):
        with pytest.raises(VimixError, match=message):
            read_skeletons(path, V5)
    with (tmp_path / "huge.skeleton").open("wb") as file:
        file.truncate(2**29)
    with pytest.raises(VimixError, match="no skeleton file is larger"):
        read_skeletons(tmp_path / "huge.skeleton", V5)


def recorded(frames) -> object:
    """Frames of (number, joints) as a sequence."""
    rows = [(t, number, place, x) for t, bodies in enumerate(frames) for place, (number, x) in enumerate(bodies)]
    return raw_sequence(*([row[i] for row in rows] for i in range(3)), np.stack([row[3] for row in rows]))


def test_without_denoising_persons_are_the_first_of_each_frame() -> None:
    a, b, c = (body(i) for i in range(3))
    raw = recorded([[(1, a), (2, b), (3, c)], [], [(2, b)], [(3, c), (1, a)]])
    found = chosen_persons(raw, 2, "none")
    np.testing.assert_array_equal(found, [[a, b], [b, 0 * b], [c, a]])


def test_a_first_place_that_is_kept_for_nobody_is_refused_with_the_way_out() -> None:
    raw = recorded([[(1, 0 * body(0)), (2, body(1))]] * 3)
    with pytest.raises(VimixError, match=r"the first 1 of each frame's bodies are all zero .*--denoise energy"):
        chosen_persons(raw, 1, "none")
    assert len(chosen_persons(raw, 1, "energy")) == len(chosen_persons(raw, 2, "none")) == 3


def test_by_energy_persons_are_the_bodies_that_move_most_and_keep_their_places() -> None:
    """A chair that is always first in the file, a person who moves, one who fidgets and vanishes."""
    chair, person, guest = (body(i) for i in range(3))
    rng = np.random.default_rng(0)
    frames = [[(5, chair + rng.normal(scale=0.001, size=(5, 3))), (6, person + 0.5 * t)] for t in range(6)]
    for t in (1, 2, 3):
        frames[t].append((7, guest + 0.1 * t))
    found = chosen_persons(recorded(frames), 2, "energy")
    np.testing.assert_allclose(found[:, 0], [person + 0.5 * t for t in range(6)])
    expected = [guest + 0.1 * t if t in (1, 2, 3) else np.zeros((5, 3)) for t in range(6)]
    np.testing.assert_allclose(found[:, 1], expected)


def upright(seed: int) -> np.ndarray:
    """Taller than wide."""
    return body(seed) * (0.1, 1.0, 0.1)


def test_pyskl_drops_short_and_wide_bodies_and_packs_tracks_that_do_not_meet() -> None:
    tall, wide, brief, late = upright(0), upright(1)[:, [1, 0, 2]], upright(2), upright(3) * 0.5
    frames = [[(1, tall), (2, wide * 3)] if t < 14 else [(9, late)] for t in range(28)]
    for t in range(11):
        frames[t].append((4, brief))
    found = chosen_persons(recorded(frames), 2, "pyskl")
    np.testing.assert_allclose(found[:14, 0], np.stack([tall] * 14))
    np.testing.assert_allclose(found[14:, 0], np.stack([late] * 14))
    assert not found[:, 1].any()
    lonely = recorded([[(1, wide)]] * 3)
    np.testing.assert_allclose(chosen_persons(lonely, 2, "pyskl")[:, 0], np.stack([wide] * 3))


def test_pyskl_keeps_somebody_where_all_are_noise() -> None:
    wide = [upright(i)[:, [1, 0, 2]] * (1 + i) for i in range(2)]
    frames = [[(1, wide[0]), (2, wide[1])]] * 12
    np.testing.assert_allclose(chosen_persons(recorded(frames), 2, "pyskl")[:, 0], np.stack([wide[1]] * 12))


@pytest.mark.parametrize("length", [1, 2, 7, 20, 50, 103])
@pytest.mark.parametrize("frames", [2, 20, 50])
def test_resizing_in_time_is_opencvs(length, frames) -> None:
    values = np.random.default_rng(0).normal(size=(length, 2, 3, 4))
    expected = cv2.resize(values.reshape(length, -1), (24, frames), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resize(values, frames), expected.reshape(frames, 2, 3, 4), atol=1e-6)


def test_after_facing_shoulders_point_along_x_and_no_distance_has_changed() -> None:
    bodies = np.random.default_rng(0).normal(size=(6, 2, 5, 3))
    bodies[2, 1] = 0
    turned = facing(bodies, (1, 2))
    across = turned[:, :, 2] - turned[:, :, 1]
    assert (across[..., 0] >= 0).all()
    np.testing.assert_allclose(across[..., 2], 0, atol=1e-12)
    np.testing.assert_allclose(turned[..., 1], bodies[..., 1])
    before, after = (np.linalg.norm(x[:, :, :, None] - x[:, :, None], axis=-1) for x in (bodies, turned))
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert not turned[2, 1].any()


def test_crosclr_turns_all_frames_of_a_body_in_one_direction() -> None:
    """CrosSCLR's feeder/NTUDatasets.py (parallel_skeleton): one sign for the angles of all frames of a body."""
    bodies = np.random.default_rng(5).normal(size=(7, 2, 5, 3))
    expected = np.empty_like(bodies)
    for body in range(2):
        across = bodies[:, body, 2] - bodies[:, body, 1]
        sign = -1 if across[:, 2].sum() >= 0 else 1
        for frame, (x, _, z) in enumerate(across):
            angle = sign * np.arccos(x / (np.sqrt(x * x + z * z) + 0.0001))
            turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
            expected[frame, body] = bodies[frame, body] @ turn.T
    found = facing(bodies, (1, 2), once=True)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    signs = np.sign(bodies[:, 0, 2, 2] - bodies[:, 0, 1, 2])
    assert len(set(signs)) == 2, "some frames look the other way, where each frame by itself is turned otherwise"
    assert not np.allclose(found, facing(bodies, (1, 2)), atol=1e-2)


def test_where_a_body_stands_and_looks_does_not_matter_after_preparation() -> None:
    frames = [[(1, upright(t)), (2, upright(t + 50))] for t in range(9)]
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    moved = [[(number, x @ turn.T + (1.0, 0.2, 3.0)) for number, x in bodies] for bodies in frames]
    how = SkeletonSettings(FIVE, frames=12)
    one, other = (preprocessed(recorded(x), how) for x in (frames, moved))
    assert (one.shape, one.dtype) == ((12, 5, 2, 3), np.float32)
    # Alignment comes after the resizing (as in CrosSCLR), which is linear: both commute with one turn of all frames.
    np.testing.assert_allclose(one, other, atol=1e-5)
    assert not one[:, FIVE.centre].any()


def test_centring_leaves_a_missing_body_of_zeros() -> None:
    bodies = np.random.default_rng(0).normal(size=(3, 2, 5, 3))
    bodies[:, 1] = 0
    moved = centred(bodies, 3)
    assert not moved[:, 1].any()
    np.testing.assert_allclose(moved[:, 0], bodies[:, 0] - bodies[:, 0, 3:4])


def test_reading_starts_nothing_heavy() -> None:
    """The workers that parse tens of thousands of files load neither torch nor OpenCV."""
    code = (
        "import sys, vimix_adapters.skeletons.preprocess; sys.exit(bool({'torch', 'cv2', 'h5py'} & set(sys.modules)))"
    )
    assert subprocess.run([os.sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
