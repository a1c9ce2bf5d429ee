"""Reading real video files, plain and odd."""

import struct
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fakes.store import frame_numbers, moving_square, write_video
from vimix_adapters.clips import video_file
from vimix_adapters.clips.decode import Reading, decode_video, first_frames, open_frames, thinned
from vimix_adapters.clips.display import resized
from vimix_adapters.clips.video_file import probe_video


def read(path: Path, ceiling: float) -> tuple[np.ndarray, Reading]:
    reading = Reading(open_frames(path), ceiling, 48)
    return np.concatenate(list(reading.pieces())), reading


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("read_by_decord", [None, 7, 0])
def test_every_frame_is_read_once_and_in_order(tmp_path, monkeypatch, codec, read_by_decord) -> None:
    """Also if decord gives up in the middle of the file, or at once: PyAV goes on from there."""
    if read_by_decord is not None:
        decord = video_file.decord_frames
        monkeypatch.setattr(video_file, "decord_frames", lambda *file: islice(decord(*file), read_by_decord))
    write_video(tmp_path / "a.mp4", moving_square(30), codec=codec)
    decoded = decode_video(tmp_path / "a.mp4", rate=30, short_side=48)
    assert decoded.shape == (30, 48, 64, 3)
    assert decoded.dtype == np.uint8
    assert frame_numbers(decoded) == list(range(30))


def test_decord_reads_what_pyav_reads(tmp_path, monkeypatch) -> None:
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    write_video(tmp_path / "a.mp4", moving_square(20))
    assert len(list(video_file.decord_frames(tmp_path / "a.mp4", 20))) == 20
    with_decord = decode_video(tmp_path / "a.mp4", 0, 48)
    monkeypatch.setattr(video_file, "decord_frames", lambda *_: ())
    with_pyav = decode_video(tmp_path / "a.mp4", 0, 48)
    assert np.abs(with_decord.astype(int) - with_pyav).mean() < 3


def test_decord_reads_only_files_whose_pictures_it_may_hold_all_at_once(tmp_path, monkeypatch) -> None:
    """It decodes ahead of a slow reader: an hour of 1080p once took 6 GiB after two minutes."""
    write_video(tmp_path / "a.mp4", moving_square(20, 48, 64))
    for limit, plain in ((20 * 48 * 64 * 3, True), (20 * 48 * 64 * 3 - 1, False)):
        monkeypatch.setattr(video_file, "AHEAD", limit)
        assert probe_video(tmp_path / "a.mp4").plain == plain
        assert frame_numbers(decode_video(tmp_path / "a.mp4", 0, 48)) == list(range(20))


@pytest.mark.parametrize("width", [48, 62, 90, 100, 340])
def test_frames_of_any_width_are_whole(tmp_path, width) -> None:
    """Encoders pad to whole blocks of 16 pixels, and the file says how to crop them."""
    pictures = moving_square(5, 48, width)
    write_video(tmp_path / "a.mp4", pictures)
    found = decode_video(tmp_path / "a.mp4", 0, 48)
    assert found.shape == (5, 48, width, 3)
    assert np.abs(found.mean(axis=-1) - pictures.mean(axis=-1)).mean() < 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("own", "ceiling", "expected", "rate"),
    [
        (12, 30, range(24), 12),
        (25, 30, range(24), 25),
        (Fraction(30000, 1001), 30, range(24), 29.97),
        (30, 30, range(24), 30),
        (60, 30, range(0, 24, 2), 30),
        (60, 20, range(0, 24, 3), 20),
        (50, 30, [0, 2, 3, 5, 7, 8, 10, 12, 13, 15, 17, 18, 20, 22], 30),
        (60, 0, range(24), 60),
    ],
)
def test_a_rate_is_a_ceiling_and_no_frame_is_read_twice(tmp_path, own, ceiling, expected, rate) -> None:
    write_video(tmp_path / "a.mp4", moving_square(24), rate=own)
    frames, reading = read(tmp_path / "a.mp4", ceiling)
    assert frame_numbers(frames) == list(expected)
    assert reading.rate == pytest.approx(rate, rel=1e-3)
    assert reading.file_rate == pytest.approx(float(own), rel=1e-3)
    assert reading.file_frames == 24


def test_variable_frame_rates_are_followed_by_time_stamp(tmp_path) -> None:
    """Ten frames in the first third of a second, then ten at a tenth of that rate."""
    times = [*range(10), *(10 + 10 * i for i in range(10))]
    write_video(tmp_path / "a.mkv", moving_square(20), rate=30, times=times)
    assert frame_numbers(decode_video(tmp_path / "a.mkv", rate=30, short_side=48)) == list(range(20))
    fast = decode_video(tmp_path / "a.mkv", rate=15, short_side=48)
    assert frame_numbers(fast) == [0, 2, 4, 6, 8, *range(10, 20)], "only where it is fast"


def test_the_frames_that_are_kept_are_those_of_a_search_through_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        times = np.cumsum(rng.uniform(0.01, 0.1, rng.integers(2, 20)))
        times[1] = times[0] + 0.01
        stamps, wanted = times - times[0], np.arange(0, times[-1] - times[0], 1 / 24)
        expected = sorted({int(np.argmin(np.abs(stamps - t))) for t in wanted})
        chosen = [number for _, number in thinned(zip(times, range(len(times)), strict=True), 24.0)]
        assert chosen[: len(expected)] == expected
        gaps = [np.inf, *np.diff(stamps), np.inf]
        far = [i for i in range(len(stamps)) if min(gaps[i : i + 2]) > 1 / 24]
        assert set(far) <= set(chosen), "no slow frame is lost"


@pytest.mark.parametrize("ending", ["avi", "mp4", "mkv"])
def test_frames_that_are_stored_in_another_order_than_they_are_shown_come_in_that_of_display(tmp_path, ending) -> None:
    """B-frames; AVI has no times of display for them."""
    write_video(tmp_path / f"a.{ending}", moving_square(30), rate=30)
    frames, reading = read(tmp_path / f"a.{ending}", 15)
    assert frame_numbers(frames) == list(range(0, 30, 2))
    assert reading.file_rate == pytest.approx(30, rel=0.01)


@pytest.mark.slow
def test_a_clock_that_is_set_back_goes_on(tmp_path) -> None:
    """Two recordings end to end, as a recorder joins them: the second begins at 0 again."""
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.ts", moving_square(60), codec="mpeg2video")
    joined = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    frames, reading = read(tmp_path / "joined.ts", 0)
    assert frame_numbers(frames) == [n % 32 for n in range(60)] * 2
    assert reading.file_rate == pytest.approx(30, rel=0.05)


def test_small_frames_are_not_enlarged(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(3))
    assert decode_video(tmp_path / "a.mp4", 30, 256).shape == (3, 48, 64, 3)


@pytest.mark.parametrize("stamps", [[0], [*range(0, 4000, 100)]])
def test_a_last_frame_that_is_shown_for_long_truncates_no_file(tmp_path, stamps) -> None:
    """A still, and a screen recording that stands still at its end: all declared frames are there."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for stamp, picture in zip(stamps, moving_square(len(stamps)), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            packets += stream.encode(frame)
        for packet, stamp, end in zip([*packets, *stream.encode()], stamps, [*stamps[1:], 12000], strict=True):
            packet.duration = end - stamp
            container.mux(packet)
    assert probe_video(tmp_path / "a.mp4").seconds == pytest.approx(12)
    assert len(decode_video(tmp_path / "a.mp4", 30, 48)) == len(stamps)


def set_matrix(path, matrix) -> None:
    """Write a display matrix into the track header, as phones do."""
    a, b, c, d = (value << 16 for value in matrix)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 44
    data[header : header + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


TURNS = {
    "none": ((1, 0, 0, 1), lambda p: p),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "anticlockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "upside down": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda p: p[::-1]),
    "mirrored and turned": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
}


@pytest.mark.parametrize("kind", TURNS)
def test_frames_are_as_a_player_shows_them(tmp_path, kind) -> None:
    """A display matrix in the track header, as phones write it; the picture has three different corners."""
    (a, b, c, d), shown = TURNS[kind]
    picture = np.full((48, 64, 3), 40, np.uint8)
    picture[2:18, 2:22], picture[2:18, 42:62], picture[30:46, 2:22] = (250, 20, 20), (20, 250, 20), (20, 20, 250)
    write_video(tmp_path / "a.mp4", np.stack([picture] * 3), codec="mpeg4")
    set_matrix(tmp_path / "a.mp4", (a, b, c, d))
    expected = shown(picture).astype(int)
    for frames in (decode_video(tmp_path / "a.mp4", 0, 48), first_frames(open_frames(tmp_path / "a.mp4"), 1)):
        assert frames[0].shape == expected.shape
        assert np.abs(frames[0] - expected).mean() < 12


COLOURS = np.zeros((48, 66, 3), np.uint8)
COLOURS[:, :22], COLOURS[:, 22:44], COLOURS[:, 44:] = (200, 30, 30), (30, 200, 30), (240, 240, 240)
RANGES = {"limited": 1, "full": 2}
MATRICES = {"601": 5, "709": 1}


@pytest.mark.slow
@pytest.mark.parametrize("container", [("mp4", "libx264"), ("webm", "libvpx-vp9"), ("mov", "mjpeg")])
@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p"])
def test_colours_are_those_of_a_player_in_full_and_limited_range_and_both_matrices(
    tmp_path, container, levels, matrix, pixels
) -> None:
    """Also of plain 4:2:0, which decord reads where it shows the same colours."""
    ending, codec = container
    path = tmp_path / f"a.{ending}"
    if codec == "mjpeg" and (levels, matrix) != ("full", "601"):
        return  # JPEG has no other
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height = 66, 48
        stream.pix_fmt = pixels.replace("yuv", "yuvj") if codec == "mjpeg" else pixels
        stream.codec_context.color_range, stream.codec_context.colorspace = RANGES[levels], MATRICES[matrix]
        stream.options = {"crf": "4"}
        shaper = av.video.reformatter.VideoReformatter()
        for number in range(3):
            rgb = av.VideoFrame.from_ndarray(COLOURS, format="rgb24")
            frame = shaper.reformat(
                rgb, format=stream.pix_fmt, dst_colorspace=MATRICES[matrix], src_color_range=2,
                dst_color_range=RANGES[levels],
            )  # fmt: skip
            frame.color_range, frame.pts = RANGES[levels], number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    found = decode_video(path, 0, 48)[1, 24, [10, 32, 55]]
    assert np.abs(found.astype(int) - COLOURS[24, [10, 32, 55]]).max() <= 6, found


@pytest.mark.parametrize(("turn", "shape"), [(0, (48, 96)), (90, (96, 48))])
def test_pixels_that_are_not_square_are_stretched_as_a_player_does(tmp_path, turn, shape) -> None:
    """48 x 64 pixels that are one and a half times as wide as high; turned, the stretch turns too."""
    pictures = np.full((3, 48, 64, 3), 30, np.uint8)
    pictures[:, 12:36, 16:48] = 230  # the middle half of each side
    write_video(tmp_path / "a.mp4", pictures, codec="mpeg4", aspect=Fraction(3, 2))
    if turn:
        set_matrix(tmp_path / "a.mp4", (0, 1, -1, 0))
    for frames in (decode_video(tmp_path / "a.mp4", 0, 48), first_frames(open_frames(tmp_path / "a.mp4"), 1)):
        assert frames[0].shape[:2] == shape
        bright = frames[0].mean(axis=-1) > 130
        assert bright.any(axis=0).mean() == pytest.approx(0.5, abs=0.06)
        assert bright.any(axis=1).mean() == pytest.approx(0.5, abs=0.06)
    assert decode_video(tmp_path / "a.mp4", 0, 24).shape[1:3] == tuple(side // 2 for side in shape)


@pytest.mark.parametrize(("size", "expected"), [((48, 64), (24, 32)), ((64, 48), (32, 24)), ((30, 30), (24, 24))])
def test_the_shorter_side_is_the_one_that_is_set(size, expected) -> None:
    assert resized(np.zeros((*size, 3), np.uint8), 24).shape[:2] == expected
