"""Reading real video files, plain and odd."""

import os

import numpy as np
import pytest

from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix_adapters.clips import decode
from vimix_adapters.clips.decode import decode_video, nearest_frames, resized


def numbers(frames) -> list[int]:
    """Read the frame numbers that ``moving_square`` wrote into the corner."""
    return [round(float(frame[2:10, 2:10].mean()) / 8) for frame in frames]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("with_decord", [True, False])
def test_every_frame_is_read_once_and_in_order(tmp_path, monkeypatch, codec, with_decord) -> None:
    if not with_decord:
        monkeypatch.setattr(decode, "_try_decord", lambda *_: None)
    write_video(tmp_path / "a.mp4", moving_square(30), codec=codec)
    decoded = decode_video(tmp_path / "a.mp4", rate=30, short_side=48)
    assert decoded.frames.shape == (30, 48, 64, 3)
    assert decoded.frames.dtype == np.uint8
    assert numbers(decoded.frames) == list(range(30))


def test_decord_reads_what_pyav_reads(tmp_path, monkeypatch) -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    write_video(tmp_path / "a.mp4", moving_square(20))
    with_decord = decode_video(tmp_path / "a.mp4", 0, 48).frames
    monkeypatch.setattr(decode, "_try_decord", lambda *_: None)
    with_pyav = decode_video(tmp_path / "a.mp4", 0, 48).frames
    assert np.abs(with_decord.astype(int) - with_pyav).mean() < 3


@pytest.mark.parametrize("width", [48, 62, 90, 100, 340])
def test_frames_of_any_width_are_whole(tmp_path, monkeypatch, width) -> None:
    """decord misreads frames whose lines are padded, so PyAV must read them."""
    write_video(tmp_path / "a.mp4", moving_square(5, 48, width))
    found = decode_video(tmp_path / "a.mp4", 0, 48).frames
    monkeypatch.setattr(decode, "_try_decord", lambda *_: None)
    expected = decode_video(tmp_path / "a.mp4", 0, 48).frames
    assert found.shape == expected.shape == (5, 48, width, 3)
    assert np.abs(found.astype(int) - expected).mean() < 3


def test_without_a_rate_the_videos_own_rate_is_kept_and_returned(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(24), rate=12)
    decoded = decode_video(tmp_path / "a.mp4", rate=0, short_side=24)
    assert len(decoded.frames) == 24
    assert decoded.rate == pytest.approx(12)
    assert decoded.frames.shape[1:3] == (24, 32)


@pytest.mark.parametrize(("own", "rate", "expected"), [(15, 30, 40), (30, 15, 10), (25, 30, 24)])
def test_resampling_keeps_the_duration(tmp_path, own, rate, expected) -> None:
    write_video(tmp_path / "a.mp4", moving_square(20), rate=own)
    decoded = decode_video(tmp_path / "a.mp4", rate=rate, short_side=48)
    assert len(decoded.frames) == expected
    assert numbers(decoded.frames) == sorted(numbers(decoded.frames))
    assert numbers(decoded.frames)[0] == 0


def test_variable_frame_rates_are_followed_by_time_stamp(tmp_path) -> None:
    """Ten frames in the first third of a second, then ten at a tenth of that rate."""
    times = [*range(10), *(10 + 10 * i for i in range(10))]
    write_video(tmp_path / "a.mkv", moving_square(20), rate=30, times=times)
    found = numbers(decode_video(tmp_path / "a.mkv", rate=30, short_side=48).frames)
    assert found[:10] == list(range(10))
    assert 9 <= found.count(12) <= 11


def test_nearest_frames_are_those_of_a_search_through_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        times = np.cumsum(rng.uniform(0.01, 0.1, rng.integers(1, 20)))
        chosen = nearest_frames(list(times), 24.0, 0.04)
        for k, index in enumerate(chosen):
            distance = np.abs(times - times[0] - k / 24)
            assert distance[index] == pytest.approx(distance.min())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty file"),
        ("text.mp4", b"this is not a video\n" * 50, "not a readable video"),
        ("missing.mp4", None, "cannot be opened"),
    ],
)
def test_what_is_no_video_is_refused_with_the_reason(tmp_path, name, content, reason) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VimixError, match=reason):
        decode_video(tmp_path / name, 30, 48)


def test_a_fifo_and_a_folder_are_refused_without_waiting(tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("fifo.mp4", "folder.mp4"):
        with pytest.raises(VimixError, match="not a regular file"):
            decode_video(tmp_path / name, 30, 48)


@pytest.mark.parametrize("ending", ["mp4", "avi", "mkv"])
def test_a_truncated_file_is_refused(tmp_path, ending) -> None:
    write_video(tmp_path / f"a.{ending}", moving_square(60), codec="mpeg4")
    whole = (tmp_path / f"a.{ending}").read_bytes()
    (tmp_path / f"b.{ending}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VimixError, match=r"not a readable video|truncated|damaged"):
        decode_video(tmp_path / f"b.{ending}", 30, 48)


def test_one_frame_is_a_video(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(1))
    assert len(decode_video(tmp_path / "a.mp4", 30, 48).frames) == 1


def test_sound_alone_has_no_video_stream(tmp_path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    (tmp_path / "a.wav").rename(tmp_path / "a.mp4")
    with pytest.raises(VimixError, match="no video stream"):
        decode_video(tmp_path / "a.mp4", 30, 48)


def test_ten_bit_video_is_read(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(8), pixels="yuv420p10le")
    assert numbers(decode_video(tmp_path / "a.mp4", 30, 48).frames) == list(range(8))


@pytest.mark.parametrize(("size", "expected"), [((48, 64), (24, 32)), ((64, 48), (32, 24)), ((30, 30), (24, 24))])
def test_the_shorter_side_is_the_one_that_is_set(size, expected) -> None:
    assert resized(np.zeros((*size, 3), np.uint8), 24).shape[:2] == expected
