"""Frame rates of a data set: what is stored, its flow, the report, and the size of the store beforehand."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli import vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.clips.hdf5_writer import FileTiming
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import dequantise
from vimix_adapters.prepare.frame_rates import rates_data, rates_lines
from vimix_adapters.prepare.video_store import pack_frames


def smooth(frames: int, speed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A soft texture that moves right by ``speed`` pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width + frames * speed, 3)).astype(np.uint8)
    whole = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.stack([whole[:, (frames - t) * speed :][:, :width] for t in range(frames)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "count", "motion"), [(12, 12, 1), (25, 12, 1), (Fraction(30000, 1001), 12, 1), (60, 6, 2)]
)
def test_flow_is_that_between_stored_frames_and_nowhere_zero(tmp_path, rate, count, motion) -> None:
    """Two pixels a frame of the file are one of the stored, which are half as large; thinned, it is twice that."""
    write_video(tmp_path / "a.mp4", smooth(12, 2), rate=rate)
    packed, _ = pack_frames(tmp_path / "a.mp4", PackSettings(short_side=48, flow="dis", flow_bound=8.0))
    assert packed[RGB].shape == (count, 48, 64, 3)
    assert (np.abs(np.diff(packed[RGB].astype(int), axis=0)).max(axis=(1, 2, 3)) > 8).all(), "no frame twice"
    u = dequantise(packed[FLOW], 8.0)[:, 8:-8, 8:-8, 0]
    np.testing.assert_allclose(np.median(u, axis=(1, 2)), motion, atol=0.2)


def test_flow_is_computed_on_larger_frames_than_are_stored(tmp_path, monkeypatch) -> None:
    sides = []
    write_video(tmp_path / "a.mp4", smooth(3, 2))

    def estimator(a: np.ndarray, _: np.ndarray) -> np.ndarray:
        sides.append(a.shape)
        return np.ones((*a.shape, 2), np.float32)

    monkeypatch.setattr("vimix_adapters.prepare.video_store.flow_estimator", lambda _: estimator)
    for side in (256, 72, 48):
        packed, _ = pack_frames(tmp_path / "a.mp4", PackSettings(short_side=48, flow="dis", flow_short_side=side))
        vectors = dequantise(packed[FLOW], 20.0)
        assert np.allclose(vectors, 48 / min(side, 96), atol=0.09), "resized with its vectors"
    assert sides[::2] == [(96, 128), (72, 96), (48, 64)]


@pytest.mark.slow
@pytest.mark.parametrize("stored", [256, 128])
def test_flow_of_a_large_video_is_computed_at_256_and_shrunk_with_its_vectors(tmp_path, stored) -> None:
    """384 x 512 pixels that move by 6 a frame: by 4 at a short side of 256, by 2 at 128."""
    frames = [cv2.resize(frame, (512, 384), interpolation=cv2.INTER_CUBIC) for frame in smooth(4, 3, 192, 256)]
    write_video(tmp_path / "a.mp4", np.stack(frames), rate=25)
    packed, _ = pack_frames(tmp_path / "a.mp4", PackSettings(short_side=stored, flow="dis", flow_bound=8.0))
    inner = stored // 8
    u, v = np.moveaxis(dequantise(packed[FLOW], 8.0)[:, inner:-inner, inner:-inner], -1, 0)
    np.testing.assert_allclose(np.median(u, axis=(1, 2)), 4 * stored / 256, atol=0.2)
    np.testing.assert_allclose(np.median(v, axis=(1, 2)), 0, atol=0.1)


def mixed(folder: Path) -> Path:
    for name, rate in (("bow/a.mp4", 12), ("bow/b.mp4", 25), ("wave/c.mp4", 25), ("wave/d.mp4", 60)):
        write_video(folder / name, moving_square(12), rate=rate)
    return folder


@pytest.mark.slow
def test_prepare_reports_rates_thinned_frames_and_a_mix(tmp_path, capsys) -> None:
    command = ["prepare", "folder", mixed(tmp_path / "v"), "--out", tmp_path / "s.h5", "--flow", "none"]
    assert vimix(*command, "--short-side", "32", "--workers", "1") == 0
    lines = capsys.readouterr().out
    assert "frames a second (videos): 25 (2), 12 (1), 60 (1)" in lines
    assert "thinned to 30 frames a second: 1 videos; 6 of 48 frames are not stored" in lines
    assert "warning: the stored videos have 12 to 30 frames a second" in lines
    expected = {
        "ceiling": 30.0,
        "found": {"25": 2, "12": 1, "60": 1},
        "thinned_videos": 1,
        "thinned_frames": 6,
        "mixed": [12.0, 30.0],
    }
    assert json.loads((tmp_path / "s.report.json").read_text())["rates"] == expected
    assert [(v.frames, v.rate) for v in Hdf5VideoStore(tmp_path / "s.h5").videos] == [
        (12, 12), (12, 25), (12, 25), (6, 30),
    ]  # fmt: skip
    assert vimix(*command, "--short-side", "32", "--workers", "1") == 0
    assert json.loads((tmp_path / "s.report.json").read_text())["rates"] == expected, "a second call keeps it"


def test_equal_rates_are_no_mix_and_a_still_has_none() -> None:
    timings = [FileTiming(29.97, 90), FileTiming(30.0, 90), FileTiming(60.0, 90, 45), FileTiming(12.0, 1)]
    assert rates_data(timings, 30.0)["mixed"] == []
    assert not any("warning" in line for line in rates_lines(timings, 30.0))
    assert rates_data(timings, 0.0)["mixed"] == [29.97, 60.0]


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_a_dry_run_estimates_the_size_of_the_store(tmp_path, codec, capsys) -> None:
    command = ["prepare", "folder", mixed(tmp_path / "v"), "--out", tmp_path / "s.h5", "--flow", "dis"]
    command += ["--short-side", "48", "--workers", "1", "--codec", codec]
    assert vimix(*command, "--dry-run") == 0
    assert "the store will take about" in capsys.readouterr().out
    estimate = json.loads((tmp_path / "s.report.json").read_text())["estimated_bytes"]
    assert vimix(*command) == 0
    store = Hdf5VideoStore(tmp_path / "s.h5")
    stored = sum(store.group(n)[m].nbytes for n in range(4) for m in (RGB, FLOW))
    assert estimate == pytest.approx(stored, rel=0.01 if codec == "raw" else 0.2)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((name, 256) for name in ("ucf101", "hmdb51", "kinetics", "ntu60-videos", "ntu120-videos")),
        *((name, 128) for name in ("folder", "csv")),
    ],
)
def test_published_sets_are_stored_at_256_pixels(name, side) -> None:
    import typer

    from vimix_adapters.cli.prepare import app

    options = {option.name: option.default for option in typer.main.get_command(app).commands[name].params}
    assert (options["short_side"], options["flow_short_side"]) == (side, 256)
