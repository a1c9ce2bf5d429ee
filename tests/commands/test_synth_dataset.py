"""The synthetic data set on disk: real files, reproducible, resumable, split by performer."""

import csv
import json
import multiprocessing
import re
from pathlib import Path

import attrs
import av
import numpy as np
import pytest

from tests.cli import printed
from vimix.values.errors import VimixError
from vimix_adapters.synth import dataset
from vimix_adapters.synth.dataset import skeleton_text, write_dataset
from vimix_adapters.synth.encode import choose_codec, write_video
from vimix_adapters.synth.figure import render
from vimix_adapters.synth.sample_plan import plan
from vimix_adapters.synth.synth_settings import SynthSettings

TINY = SynthSettings(classes=2, videos_per_class=3, performers=3, width=64, height=48, seconds=(0.3, 0.6))


def _decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _read_ntu(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Read joints [T, 25, 3] and colour positions [T, 25, 2] by NTU RGB+D's description alone."""
    lines = iter(text.splitlines())
    joints, pixels = [], []
    for _ in range(int(next(lines))):
        assert int(next(lines)) == 1
        assert len(next(lines).split()) == 10
        rows = [[float(value) for value in next(lines).split()] for _ in range(int(next(lines)))]
        assert {len(row) for row in rows} == {12}
        joints.append([row[:3] for row in rows])
        pixels.append([row[5:7] for row in rows])
    assert next(lines, None) is None
    return np.array(joints), np.array(pixels)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "set"
    write_dataset(out, TINY, workers=1)
    return out


def _content(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_the_same_frames_are_encoded_alike_every_time(tmp_path: Path) -> None:
    """Once one file in four differed."""
    frames = [render(TINY, sample).frames for sample in plan(TINY)[:3]]
    files = set()
    for _ in range(8):
        for number, pictures in enumerate(frames):
            write_video(tmp_path / "a.mp4", pictures, 30, choose_codec())
            files.add((number, (tmp_path / "a.mp4").read_bytes()))
    assert len(files) == len(frames)


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(made: Path, tmp_path: Path) -> None:
    """Skeletons, lists, the record and decoded frames are equal byte for byte."""
    before = set(multiprocessing.active_children())
    write_dataset(tmp_path / "two", TINY, workers=2)
    one, two = _content(made), _content(tmp_path / "two")
    assert one.keys() == two.keys()
    for name in one:
        if name.endswith(".mp4"):
            np.testing.assert_array_equal(_decode(made / name), _decode(tmp_path / "two" / name))
        else:
            assert one[name] == two[name], name
    assert set(multiprocessing.active_children()) <= before


def test_another_seed_gives_other_videos() -> None:
    other = attrs.evolve(TINY, seed=1)
    first, second = render(TINY, plan(TINY)[0]), render(other, plan(other)[0])
    assert first.frames.shape != second.frames.shape or (first.frames != second.frames).any()


def test_videos_decode_to_what_was_drawn(made: Path) -> None:
    """Each video has its skeleton's number of frames and the requested size and rate, and looks as rendered."""
    for sample in plan(TINY):
        path = made / "videos" / sample.label / f"{sample.name}.mp4"
        drawn, decoded = render(TINY, sample), _decode(path)
        assert decoded.shape == drawn.frames.shape == (len(drawn.joints), 48, 64, 3)
        assert 9 <= len(decoded) <= 18
        # The coarse colour planes of 4:2:0 are most of the difference: compare the brightness.
        error = np.abs(decoded.mean(axis=-1) - drawn.frames.mean(axis=-1)).mean()
        assert error < 5
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == 30
            assert stream.codec_context.name in {"h264", "mpeg4"}


def test_skeleton_files_read_back_as_what_was_seen(made: Path) -> None:
    for sample in plan(TINY):
        drawn = render(TINY, sample)
        joints, pixels = _read_ntu((made / "skeletons" / f"{sample.name}.skeleton").read_text())
        assert joints.shape == (len(drawn.frames), 25, 3)
        np.testing.assert_allclose(joints, drawn.joints, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(pixels, drawn.pixels, rtol=1e-6, atol=1e-6)


def test_the_skeleton_text_of_a_known_array_is_this() -> None:
    joints = np.full((1, 25, 3), 0.5, np.float32)
    pixels = np.full((1, 25, 2), 20.25, np.float32)
    lines = skeleton_text(joints, pixels).splitlines()
    assert lines[:2] == ["1", "1"]
    assert lines[3] == "25"
    assert lines[4:] == ["0.5 0.5 0.5 20.25 20.25 20.25 20.25 0 0 0 0 2"] * 25


def test_names_follow_ntu_and_are_unique(made: Path) -> None:
    names = [path.stem for path in (made / "skeletons").iterdir()]
    assert len(set(names)) == 6
    assert all(re.fullmatch(r"S\d{3}C00[123]P\d{3}R\d{3}A\d{3}", name) for name in names)
    for path in (made / "videos").glob("*/*.mp4"):
        assert path.parent.name == ["wave", "clap"][int(path.stem[-3:]) - 1]


def test_lists_name_every_video_once_and_share_no_performer(made: Path) -> None:
    with (made / "splits.csv").open() as file:
        rows = list(csv.DictReader(file))
    videos = {str(path.relative_to(made / "videos")) for path in (made / "videos").glob("*/*.mp4")}
    assert {row["path"] for row in rows} == videos
    assert len(rows) == len(videos) == len({row["source"] for row in rows})
    performers: dict[str, set[str]] = {"train": set(), "test": set()}
    for row in rows:
        assert row["path"].startswith(f"{row['label']}/")
        performers[row["split"]].add(re.findall(r"P\d{3}", row["path"])[0])
    assert not performers["train"] & performers["test"]
    for split in ("train", "test"):
        listed = (made / f"{split}.txt").read_text().splitlines()
        assert listed == [row["path"] for row in rows if row["split"] == split]
        assert listed


@pytest.mark.parametrize(("performers", "videos", "test"), [(10, 40, 3), (2, 4, 1), (10, 2, 1), (7, 7, 2)])
def test_about_a_third_of_the_performers_who_appear_are_for_the_test(performers: int, videos: int, test: int) -> None:
    samples = plan(SynthSettings(classes=3, videos_per_class=videos, performers=performers))
    assert len({s.performer for s in samples if s.test}) == test
    for action in range(3):
        assert {s.test for s in samples if s.action == action} == {True, False}, "both lists have every class"


def test_few_training_videos_are_the_first_of_all_and_the_test_videos_stay_the_same() -> None:
    everything = plan(SynthSettings(classes=2, videos_per_class=20))
    few = plan(SynthSettings(classes=2, videos_per_class=20, train_per_class=3))
    assert [s for s in few if s.test] == [s for s in everything if s.test]
    for action in range(2):
        training = [s for s in everything if s.action == action and not s.test]
        assert [s for s in few if s.action == action and not s.test] == training[:3]
        assert len({s.performer for s in training[:3]}) == 3, "the performers take turns"


def test_the_record_holds_all_settings(made: Path) -> None:
    record = json.loads((made / "synth.json").read_text())
    assert record["seed"] == 0
    assert record["variety"] == json.loads(json.dumps(attrs.asdict(TINY.variety)))


def test_a_second_call_makes_what_is_missing_and_touches_nothing_else(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    write_dataset(out, TINY, workers=1)
    before = _content(out)
    sample = plan(TINY)[3]
    (out / "videos" / sample.label / f"{sample.name}.mp4").unlink()
    (out / "test.txt").unlink()
    (out / "videos" / sample.label / ".half.mp4.123.tmp").write_bytes(b"a killed call's")
    other = plan(TINY)[0]
    kept = out / "videos" / other.label / f"{other.name}.mp4"
    stamp = kept.stat().st_mtime_ns
    heard: list[tuple[int, int]] = []
    written = write_dataset(out, TINY, 1, lambda done, total: heard.append((done, total)))
    assert (written.made, written.train + written.test) == (1, 6)
    assert heard == [(5, 6), (6, 6)]
    assert _content(out) == before
    assert kept.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("changes", [{"seed": 1}, {"videos_per_class": 4}, {"width": 66}])
def test_a_folder_of_other_settings_is_refused(made: Path, changes: dict[str, int]) -> None:
    before = _content(made)
    with pytest.raises(VimixError, match=r"other settings.*or add --force") as caught:
        write_dataset(made, attrs.evolve(TINY, **changes), workers=1)
    assert str(made) in str(caught.value)
    assert next(iter(changes)) in str(caught.value)
    assert _content(made) == before


def test_force_replaces_a_data_set_of_other_settings_and_nothing_else(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    write_dataset(out, attrs.evolve(TINY, classes=1, seed=5), workers=1)
    (out / "notes.txt").write_text("mine")
    assert write_dataset(out, TINY, workers=1, force=True).made == 6
    assert _content(out).keys() == {*_content(made), "notes.txt"}
    assert write_dataset(out, TINY, workers=1, force=True).made == 0
    (tmp_path / "mine/videos").mkdir(parents=True)
    with pytest.raises(VimixError, match="choose another"):
        write_dataset(tmp_path / "mine", TINY, workers=1, force=True)


def test_a_folder_or_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(VimixError, match="choose another"):
            write_dataset(out, TINY, workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "synth.json").write_text("[1")
    with pytest.raises(VimixError, match="not a record"):
        write_dataset(tmp_path / "mine", TINY, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "thesis.tex"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VimixError, match="cannot write the data set") as caught:
        write_dataset(tmp_path / "file" / "out", TINY, workers=1)
    assert "\n" not in str(caught.value)


def test_a_failed_video_leaves_no_half_files_and_the_rest_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "skeleton_text", full)
        with pytest.raises(VimixError, match="No space left"):
            write_dataset(tmp_path / "set", TINY, workers=1)
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "set" / "splits.csv").exists()
    assert write_dataset(tmp_path / "set", TINY, workers=1).made == 6


def test_mpeg4_is_written_where_h264_cannot_be(tmp_path: Path) -> None:
    assert choose_codec({"mpeg4"}) == "mpeg4"
    assert choose_codec({"mpeg4", "libx264"}) == "libx264"
    with pytest.raises(VimixError, match="libx264"):
        choose_codec(set())
    frames = render(TINY, plan(TINY)[0]).frames
    write_video(tmp_path / "video.mp4", frames, 30, "mpeg4")
    decoded = _decode(tmp_path / "video.mp4")
    assert decoded.shape == frames.shape
    assert np.abs(decoded.mean(axis=-1) - frames.mean(axis=-1)).mean() < 6


def test_the_command_writes_the_data_set_and_says_what_it_made(tmp_path: Path, capsys) -> None:
    options = ["--classes=1", "--videos-per-class=2", "--performers=2", "--width=48", "--height=48", "--workers=1"]
    assert "1 training and 1 test videos of 1 classes (2 new)" in printed(capsys, "synth", tmp_path / "set", *options)
    assert len(list(tmp_path.glob("set/videos/wave/*.mp4"))) == 2
