"""``vimix flow``: into a store that has none, by shards, broken off, and from pictures of other tools."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from attrs import evolve
from rich.console import Console

from tests.cli import printed, refused
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix_adapters.clips.hdf5 import STORED_FRAMES, Hdf5VideoStore
from vimix_adapters.clips.hdf5_check import check_video, fits_fingerprint
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.flow.fields import dequantise, flow_fields, quantise
from vimix_adapters.flow.opencv import DisFlow
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.flow_store import FlowOptions, JobShare, compute_flow, import_flow, parse_shard
from vimix_adapters.prepare.parts import flow_parts_of
from vimix_adapters.prepare.store_info import describe
from vimix_adapters.prepare.video_store import pack_frames

QUIET = Console(quiet=True)
NAMES = ("bow/a.mp4", "bow/b.mp4", "wave/c.mp4", "wave/d.mp4")


def rgb_store(folder: Path, codec: str = "raw") -> Path:
    settings = PackSettings(short_side=48, flow="none", flow_short_side=48, rate=0, codec=codec)
    entries = []
    for number, name in enumerate(NAMES):
        write_part(folder / f"{number}.part", {RGB: moving_square(6 + number, speed=1 + number)}, 25.0, settings)
        split = ("train", "fold1") if number else ("test",)
        entries.append(Entry(folder / f"{number}.part", name, number // 2, name[:-4], split))
    merge_parts(folder / "s.h5", entries, ["bow", "wave"], settings, quarantined=1)
    return folder / "s.h5"


def add(path: Path, shard: JobShare | None = None, bound: float = 20.0, short_side: int = 0, force: bool = False):
    return compute_flow(path, "dis", short_side, bound, FlowOptions(LocalEngine(1), shard=shard, force=force), QUIET)


def sound(path: Path) -> bool:
    store = Hdf5VideoStore(path)
    for number in range(len(store.videos)):
        check_video(number, path)
    return fits_fingerprint(store)


def test_a_store_gets_flow_of_its_stored_frames_and_keeps_all_else(tmp_path) -> None:
    path = rgb_store(tmp_path, "jpeg")
    before = Hdf5VideoStore(path)
    pictures = [before.read(number, RGB, 0, video.frames) for number, video in enumerate(before.videos)]
    report = add(path, bound=5.0)
    assert (report.videos, report.finished, report.complete, report.failures) == (4, 4, True, ())
    store = Hdf5VideoStore(path)
    assert list(store.videos) == list(before.videos)
    assert (store.head.classes, store.head.splits) == (before.head.classes, before.head.splits)
    assert (store.quarantined, store.classes) == (1, ("bow", "wave"))
    assert store.formats[FLOW].bound == 5.0
    assert store.settings.flow_origin == STORED_FRAMES
    for number, frames in enumerate(pictures):
        assert np.array_equal(store.read(number, RGB, 0, len(frames)), frames)
        expected = flow_fields(frames, DisFlow(), 48, (48, 64), 5.0)
        found = store.read(number, FLOW, 0, len(frames))
        assert np.abs(found.astype(int) - expected).mean() < 2  # JPEG
    assert sound(path)
    assert not flow_parts_of(path).exists()


def test_shards_on_many_machines_and_a_last_call_make_the_store_of_one_call(tmp_path) -> None:
    (tmp_path / "one").mkdir()
    whole, path = rgb_store(tmp_path / "one"), rgb_store(tmp_path)
    add(whole)
    before = path.read_bytes()
    assert add(path, JobShare(2, 2)).finished == 2
    assert path.read_bytes() == before
    assert describe(path)["unfinished_flow"]["missing"] == ["bow/a.mp4", "wave/c.mp4"]
    stamps = {part: part.stat().st_mtime_ns for part in flow_parts_of(path).glob("*.h5")}
    report = add(path, JobShare(1, 2))
    assert (report.finished, report.complete) == (4, False)
    assert all(part.stat().st_mtime_ns == stamp for part, stamp in stamps.items())  # nothing is computed twice
    assert add(path).complete
    assert Hdf5VideoStore(path).fingerprint == Hdf5VideoStore(whole).fingerprint


def test_a_second_call_does_nothing_and_other_flow_is_refused(tmp_path) -> None:
    path = rgb_store(tmp_path)
    with pytest.raises(VimixError, match="stored frames have 48"):
        add(path, short_side=96)
    add(path, JobShare(1, 4))
    with pytest.raises(VimixError, match="other settings"):
        add(path, bound=3.0)
    add(path)
    before = path.read_bytes()
    assert add(path).complete
    assert path.read_bytes() == before
    with pytest.raises(VimixError, match="has other flow already: replace it with --force"):
        add(path, bound=3.0)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_force_replaces_the_flow_of_a_store_and_parts_of_other_settings(tmp_path, codec) -> None:
    (tmp_path / "one").mkdir()
    path, expected = rgb_store(tmp_path, codec), rgb_store(tmp_path / "one", codec)
    add(path)
    add(expected, bound=3.0)
    assert not add(path, JobShare(1, 4), bound=5.0, force=True).complete
    with pytest.raises(VimixError, match="other settings"):
        add(path, JobShare(1, 4), bound=3.0, force=True)  # shards run at the same time: none deletes the others' parts
    assert add(path, bound=3.0, force=True).complete
    assert Hdf5VideoStore(path).fingerprint == Hdf5VideoStore(expected).fingerprint
    assert sound(path)


def test_a_video_whose_frames_are_damaged_is_named_and_the_store_stays_as_it_is(tmp_path) -> None:
    path = rgb_store(tmp_path, "jpeg")
    with h5py.File(path, "r+") as file:
        file["videos/00000001/rgb"][:] = 0
    before = path.read_bytes()
    report = add(path)
    assert (report.finished, report.complete) == (3, False)
    assert report.failures[0][0] == "bow/b.mp4"
    assert "not a JPEG" in report.failures[0][1]
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "-1/2", "1/2/3", "1/9999999999"])
def test_a_shard_that_is_none_is_refused(text) -> None:
    with pytest.raises(VimixError, match="expected i/n"):
        parse_shard(text)
    assert parse_shard("2/8") == JobShare(2, 8)


def known_fields(count: int, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    smooth = np.stack([8 * np.sin(x / 25), 5 * np.cos(y / 30)], axis=-1)
    return np.stack([smooth + t for t in range(count)])


def write_images(folder: Path, fields: np.ndarray, layout: str, first: int = 1, rounding: str = "round") -> None:
    """Write flow like other tools: two grey images (denseflow, mmaction2), or one of three channels (CoCLR)."""
    folder.mkdir(parents=True)
    exact = (np.clip(fields, -20, 20) + 20) * (255 / 40)
    levels = (np.round(exact) if rounding == "round" else exact).astype(np.uint8)
    for number, picture in enumerate(levels, start=first):
        best = [cv2.IMWRITE_JPEG_QUALITY, 100]
        if layout == "denseflow":
            cv2.imwrite(str(folder / f"flow_x_{number:05d}.jpg"), picture[..., 0], best)
            cv2.imwrite(str(folder / f"flow_y_{number:05d}.jpg"), picture[..., 1], best)
        elif layout == "folders":
            for axis, letter in enumerate("uv"):
                (folder / letter).mkdir(exist_ok=True)
                cv2.imwrite(str(folder / letter / f"frame{number:06d}.jpg"), picture[..., axis], best)
        else:
            third = np.full_like(picture[..., :1], 128)
            cv2.imwrite(str(folder / f"flow_{number:05d}.jpg"), np.concatenate([picture, third], axis=-1), best)


def bring(path: Path, folder: Path, rounding: str = "round"):
    return import_flow(path, folder, 20.0, rounding, 0.0, FlowOptions(LocalEngine(1)), QUIET)


@pytest.mark.parametrize("layout", ["denseflow", "coclr", "folders"])
def test_flow_of_other_tools_is_imported_with_its_convention_on_record(tmp_path, layout) -> None:
    """The images are twice as large as the stored frames: vectors and bound are halved, so the levels stay the same."""
    path = rgb_store(tmp_path)
    for number, name in enumerate(NAMES):
        place = name[:-4] if number % 2 else name  # both ways of naming folders
        write_images(tmp_path / "flow" / place, known_fields(5 + number, 96, 128), layout, first=number % 2)
    assert bring(path, tmp_path / "flow").complete
    store = Hdf5VideoStore(path)
    assert store.settings.flow == "imported"
    assert store.settings.flow_bound == 10.0
    assert store.settings.flow_origin == f"{layout} images, clipped to 20 pixels of their own size, rounded"
    for number, video in enumerate(store.videos):
        found = dequantise(store.read(number, FLOW, 0, video.frames), 10.0)
        expected = cv2.resize(known_fields(1, 96, 128)[0], (64, 48), interpolation=cv2.INTER_AREA) / 2
        for t in range(video.frames - 1):
            assert np.abs(found[t] - (expected + t / 2)).mean() < 0.06  # a level is 0.08
        assert np.array_equal(found[-1], found[-2])
    assert sound(path)


def test_levels_of_pictures_of_the_stores_size_are_kept_exactly(tmp_path) -> None:
    path = rgb_store(tmp_path)
    fields = known_fields(5, 48, 64)
    for number, name in enumerate(NAMES):
        folder = tmp_path / "flow" / name[:-4]
        folder.mkdir(parents=True)
        for t in range(5 + number):
            for axis, letter in enumerate("xy"):
                cv2.imwrite(str(folder / f"flow_{letter}_{t:05d}.png"), quantise(fields[t % 5], 20.0)[..., axis])
    assert bring(path, tmp_path / "flow").complete
    assert np.array_equal(Hdf5VideoStore(path).read(0, FLOW, 0, 5), quantise(fields, 20.0))


@pytest.mark.parametrize(("x", "y"), [("flow_x", "flow_y"), ("u", "v"), ("x", "y")])
def test_folders_of_u_and_v_may_contain_those_of_the_videos_and_counts_may_differ_by_one(tmp_path, x, y) -> None:
    path = rgb_store(tmp_path)
    fields = known_fields(10, 48, 64)
    counts = (5, 7, 9, 8)  # of 6 to 9 frames: one less, as many, one more, one less
    for name, count in zip(NAMES, counts, strict=True):
        for axis, letter in enumerate((x, y)):
            (tmp_path / "flow" / letter / name[:-4]).mkdir(parents=True)
            for t in range(count):
                file = tmp_path / "flow" / letter / name[:-4] / f"frame{t + 1:06d}.png"
                cv2.imwrite(str(file), quantise(fields[t], 20.0)[..., axis])
    assert bring(path, tmp_path / "flow").complete
    store = Hdf5VideoStore(path)
    for number, (video, count) in enumerate(zip(store.videos, counts, strict=True)):
        found = store.read(number, FLOW, 0, video.frames)
        shown = [min(t, count - 1) for t in range(video.frames)]
        assert np.array_equal(found, quantise(fields[shown], 20.0))


def test_truncated_levels_get_half_a_level_back(tmp_path) -> None:
    path = rgb_store(tmp_path)
    fields = known_fields(8, 96, 128)
    for number, name in enumerate(NAMES):
        write_images(tmp_path / "flow" / name[:-4], fields[: 5 + number], "denseflow", rounding="truncate")
    assert bring(path, tmp_path / "flow", "truncate").complete
    store = Hdf5VideoStore(path)
    assert store.settings.flow_origin.endswith("truncated")
    bias = (dequantise(store.read(3, FLOW, 0, 8), 10.0)).mean() - fields.mean() / 2
    assert abs(bias) < 0.012  # half a level would be 0.04


def test_what_does_not_fit_is_named_and_the_store_stays_as_it_is(tmp_path) -> None:
    path = rgb_store(tmp_path)
    before = path.read_bytes()
    (tmp_path / "flow").mkdir()
    with pytest.raises(VimixError, match="no flow for any of 4 videos"):
        bring(path, tmp_path / "flow")
    write_images(tmp_path / "flow/bow/a", known_fields(5, 48, 64), "coclr")
    write_images(tmp_path / "flow/bow/b", known_fields(9, 48, 64), "coclr")
    write_images(tmp_path / "flow/wave/c", known_fields(7, 48, 64)[..., ::-1], "coclr")
    (tmp_path / "flow/wave/c/flow_00003.jpg").write_bytes(b"no picture")
    report = bring(path, tmp_path / "flow")
    assert (report.finished, report.complete) == (1, False)
    reasons = dict(report.failures)
    assert "9 flow images for 7 stored frames" in reasons["bow/b.mp4"]
    assert "--rate 0" in reasons["bow/b.mp4"]
    assert "flow_00003.jpg is not a readable image" in reasons["wave/c.mp4"]
    assert "no flow images" in reasons["wave/d.mp4"]
    assert path.read_bytes() == before


def test_gaps_lost_partners_and_swapped_channels_are_refused(tmp_path) -> None:
    path = rgb_store(tmp_path)
    for number, name in enumerate(NAMES):
        write_images(tmp_path / "x" / name[:-4], known_fields(5 + number, 48, 64), "denseflow")
    for lost in ("a/flow_y_00002", "b/flow_x_00003", "b/flow_y_00003"):
        (tmp_path / f"x/bow/{lost}.jpg").unlink()
    reasons = dict(bring(path, tmp_path / "x").failures)
    assert "no partner of v (flow_y)" in reasons["bow/a.mp4"]
    assert "without gaps" in reasons["bow/b.mp4"]
    swapped = np.full((48, 64, 3), 128, np.uint8)
    swapped[..., 2] = 200  # u where R is for OpenCV: written by a library that thinks in R, G, B
    (tmp_path / "y/bow/a").mkdir(parents=True)
    for t in range(5):
        cv2.imwrite(str(tmp_path / f"y/bow/a/flow_{t:05d}.jpg"), swapped)
    with pytest.raises(VimixError, match="red is not 128"):
        bring(path, tmp_path / "y")


def test_a_query_video_is_packed_as_the_store_was(tmp_path) -> None:
    write_video(tmp_path / "v.mp4", moving_square(6, 48, 64))
    settings = PackSettings(short_side=48, flow="dis", flow_short_side=48, codec="jpeg", quality=30)
    plain, _ = pack_frames(tmp_path / "v.mp4", settings)
    stored, _ = pack_frames(tmp_path / "v.mp4", evolve(settings, flow_origin=STORED_FRAMES))
    assert np.array_equal(plain[RGB], stored[RGB])
    assert not np.array_equal(plain[FLOW], stored[FLOW])  # JPEG's traces are in the flow, as in the store's
    with pytest.raises(VimixError, match="cannot be computed in the same way"):
        pack_frames(tmp_path / "v.mp4", evolve(settings, flow="imported"))


@pytest.mark.slow
def test_the_command_line_says_what_is_done_and_what_is_missing(tmp_path, capsys) -> None:
    path = rgb_store(tmp_path)
    assert "2 of 4 videos" in printed(capsys, "flow", path, "--method", "dis", "--shard", "1/2", "--workers", 1)
    assert "2 of 4 videos have flow" in " ".join(printed(capsys, "store", "info", path).split())
    assert "the store has it now" in printed(capsys, "flow", path, "--method", "dis", "--workers", 1)
    assert "no such folder" in refused(capsys, "flow", path, "--import", tmp_path / "nowhere")
