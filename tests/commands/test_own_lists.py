"""Folders and lists of videos as people have them, through the command line and the readers of lists."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.builders import touch
from tests.cli import vimix
from tests.fakes.official_datasets import clip
from tests.fakes.store import frame_numbers, moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import RGB
from vimix.values.segment import Segment
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.lists import list_videos
from vimix_adapters.prepare.build_store import PartJob, StoredFile
from vimix_adapters.prepare.video_store import VideoStoreBuilder, write_part_of_video


def facts(listing) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [(file.name, file.class_name, file.splits) for file in listing.files]


def written(folder: Path, text: str, name: str = "list.csv") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return [folder / name]


# --- Folders


@pytest.mark.parametrize("val", ["val", "Valid", "validation"])
def test_folders_named_like_splits_are_the_splits_and_those_in_them_the_classes(tmp_path, val) -> None:
    touch(tmp_path, "train/bow/a.mp4", "train/wave/b.mp4", f"{val}/bow/c.mp4", "test/wave/d.mp4")
    listing = list_folder(tmp_path)
    assert sorted(facts(listing)) == sorted(
        [
            ("train/bow/a.mp4", "bow", ("train",)),
            ("train/wave/b.mp4", "wave", ("train",)),
            (f"{val}/bow/c.mp4", "bow", ("val",)),
            ("test/wave/d.mp4", "wave", ("test",)),
        ]
    )
    assert (listing.classes, listing.splits) == (("bow", "wave"), ("train", "val", "test"))


def test_a_folder_train_beside_other_classes_is_a_class(tmp_path) -> None:
    touch(tmp_path, "train/a.mp4", "tram/b.mp4")
    assert list_folder(tmp_path).classes == ("train", "tram")


def test_hidden_files_and_those_of_other_programs_are_skipped_and_counted(tmp_path) -> None:
    touch(
        tmp_path, "bow/a.mp4", "bow/._a.mp4", "__MACOSX/bow/._a.mp4", ".ipynb_checkpoints/a.mp4", "bow/@eaDir/a.mp4/x"
    )
    touch(tmp_path, "wave/b.mp4", "bow/notes.txt", "bow/a.jpg", ".DS_Store", ".Trash/c.mp4")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == ["bow/a.mp4", "wave/b.mp4"]
    assert listing.classes == ("bow", "wave")
    skipped, others = listing.notes
    assert skipped.startswith("6 hidden files and folders of other programs skipped: .DS_Store, ")
    assert others == "2 files that are no videos, by ending: 1 .txt, 1 .jpg" or others.endswith("1 .jpg, 1 .txt")


def test_videos_beside_class_folders_are_left_out_with_advice_or_stored_without_label(tmp_path) -> None:
    touch(tmp_path, "bow/a.mp4", "loose.mp4")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == ["bow/a.mp4"]
    ((name, reason),) = listing.left_out
    assert name == "loose.mp4"
    assert "--unlabelled" in reason
    both = list_folder(tmp_path, unlabelled=True)
    assert facts(both) == [("bow/a.mp4", "bow", ("train",)), ("loose.mp4", None, ("train",))]


def test_a_flat_folder_is_refused_with_what_to_do(tmp_path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(VimixError, match=r"2 videos, but none in a class folder.*--unlabelled.*vimix prepare csv"):
        list_folder(tmp_path)
    assert facts(list_folder(tmp_path, unlabelled=True)) == [("a.mp4", None, ("train",)), ("b.mp4", None, ("train",))]


def test_levels_of_folders_that_are_not_used_are_counted(tmp_path) -> None:
    touch(tmp_path, "UCF-101/bow/a.mp4", "UCF-101/wave/b.mp4")
    deeper, one = list_folder(tmp_path).notes
    assert deeper.startswith("2 videos lie in folders below that of their class")
    assert one.endswith(f"name {tmp_path / 'UCF-101'} instead")


def test_the_command_prints_what_it_does_not_use(tmp_path, capsys) -> None:
    clip(tmp_path / "v/bow/a.mp4")
    touch(tmp_path / "v", "bow/._a.mp4", "loose.mp4")
    assert vimix("prepare", "folder", tmp_path / "v", "--out", tmp_path / "s.h5", "--flow", "none", "--dry-run") == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 hidden files and folders of other programs skipped: ._a.mp4" in shown
    assert "loose.mp4: lies in no class folder" in shown


# --- Lists


@pytest.mark.parametrize(
    "text",
    ["bow/a.mp4 1\nwave/b c.mp4 0\n", "bow/a.mp4,1\nwave/b c.mp4,0\n", "path label\nbow/a.mp4 1\nwave/b c.mp4 0\n",
     "path,label\nbow/a.mp4,1\nwave/b c.mp4,0\n", "bow/a 1\nwave/b c 0\n", "bow/a.mp4\t1\nwave/b c.mp4\t0\n"],
)  # fmt: skip
def test_a_path_and_a_label_are_read_with_or_without_header_and_ending(tmp_path, text) -> None:
    touch(tmp_path, "bow/a.mp4", "wave/b c.mp4")
    listing = list_videos(written(tmp_path, text, "kinetics_val_list.txt"))
    assert facts(listing) == [("bow/a.mp4", "1", ("val",)), ("wave/b c.mp4", "0", ("val",))]
    assert listing.classes == ("0", "1")
    assert not listing.missing


def test_absolute_paths_are_taken_or_found_below_the_folder_if_they_are_of_another_machine(tmp_path) -> None:
    touch(tmp_path, "v/bow/a.mp4", "v/bow/b.mp4")
    text = f"{tmp_path}/v/bow/a.mp4 0\n/data/k400/bow/b.mp4 0\n/data/k400/bow/gone.mp4 0\n"
    listing = list_videos(written(tmp_path, text, "train.csv"), tmp_path / "v")
    assert [file.name for file in listing.files] == ["bow/a.mp4", "bow/b.mp4"]
    assert [file.path for file in listing.files] == [tmp_path / "v/bow/a.mp4", tmp_path / "v/bow/b.mp4"]
    assert list(listing.missing) == ["data/k400/bow/gone.mp4"]


def test_lists_of_several_splits_are_one_set_and_numbers_take_the_names_of_a_file(tmp_path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    lists = [
        *written(tmp_path, "a.mp4 10\nb.mp4 2\n", "train.csv"),
        *written(tmp_path, "b.mp4 2\nc.mp4 0\n", "val.csv"),
    ]
    listing = list_videos(lists)
    assert facts(listing) == [("a.mp4", "10", ("train",)), ("b.mp4", "2", ("train", "val")), ("c.mp4", "0", ("val",))]
    assert listing.classes == tuple(map(str, range(11))), "label 10 is number 10, not the second in the alphabet"
    (names,) = written(tmp_path, "".join(f"class {number}\n" for number in range(11)), "labels.txt")
    assert facts(list_videos(lists, classes=names))[0] == ("a.mp4", "class 10", ("train",))


@pytest.mark.parametrize(
    ("path", "text", "name", "listed"),
    [
        ("clip/img_00001.jpg", "clip 1 3\n", "train.txt", ("clip", "3", ("train",))),
        ("a.mp4", "a.mp4 0 -1\n", "train.csv", ("a.mp4", None, ("train",))),
        (
            "34870/00001.jpg",
            "34870;Drumming Fingers\n",
            "jester-v1-validation.csv",
            ("34870", "Drumming Fingers", ("val",)),
        ),
    ],
    ids=["frames of mmaction2", "VideoMAE without a label", "semicolons of Jester"],
)
def test_lists_of_other_libraries_are_read(tmp_path, path, text, name, listed) -> None:
    touch(tmp_path, path)
    assert facts(list_videos(written(tmp_path, text, name))) == [listed]


def test_something_somethings_json_gives_templates_as_classes_in_the_order_of_its_labels(tmp_path) -> None:
    touch(tmp_path, "v/7.webm", "v/8.webm", "v/9.webm")
    entry = {"id": "7", "label": "holding a cup", "template": "Holding [something]", "placeholders": ["a cup"]}
    lists = [
        *written(tmp_path, json.dumps([entry, {**entry, "id": "8"}]), "something-something-v2-train.json"),
        *written(tmp_path, json.dumps([{"id": "9"}]), "something-something-v2-test.json"),
        *written(tmp_path, json.dumps({"Dropping something": "1", "Holding something": "0"}), "labels.json"),
    ]
    listing = list_videos(lists, tmp_path / "v")
    assert facts(listing) == [
        ("7.webm", "Holding something", ("train",)),
        ("8.webm", "Holding something", ("train",)),
        ("9.webm", None, ("test",)),
    ]
    assert listing.classes == ("Holding something", "Dropping something")


def test_kinetics_csv_is_known_by_its_header(tmp_path) -> None:
    touch(tmp_path, "v/yoga/abc_000001_000011.mp4")
    text = "label,youtube_id,time_start,time_end,split\nyoga,abc,1,11,train\n"
    listing = list_videos(written(tmp_path, text), tmp_path / "v")
    assert (listing.dataset, facts(listing)) == ("kinetics", [("yoga/abc_000001_000011.mp4", "yoga", ("train",))])


def test_columns_that_are_not_used_are_named(tmp_path) -> None:
    touch(tmp_path, "a.mp4")
    lists = written(tmp_path, "video,class,set,fps,mood,weather\na.mp4,bow,test,12,sad,wet\n")
    listing = list_videos(lists)
    assert facts(listing) == [("a.mp4", "bow", ("test",))]
    assert listing.files[0].rate == 12
    assert listing.notes == (f"{lists[0]}: columns that are not used: mood, weather",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label,split\na.mp4,open door;sit down,train\n", "'open door;sit down' are several labels.*start,end"),
        ("path,label,split\na.mp4,open,train\na.mp4,sit,train\n", "several labels, 'open' and 'sit'.*start,end"),
        ("path,label,split\na.mp4,open,train\na.mp4,open,train\n", "line 3: a.mp4 is listed twice"),
        ("a.mp4 3 7\n", "a.mp4 has 2 labels: a store holds one label"),
        ("path,split,start,end\na.mp4,train,2,1\n", "line 2: the segment from 2 to 1: expected 0 ≤ start < end"),
        ("path,split,start,end\na.mp4,train,2,\n", "line 2: expected both start and end"),
        ("path,split,start,end\na.mp4,train,soon,late\n", "line 2: start 'soon' is not a number"),
        ("twin 1\n", "twin fits twin.avi and twin.mp4: name one with its ending"),
        ("three words of nothing\n", "line 1: expected 'path label'"),
        ('[{"template": "x"}]', "entry 1: expected {'id'"),
    ],
)  # fmt: skip
def test_what_a_list_does_not_say_clearly_is_refused(tmp_path, text, message) -> None:
    touch(tmp_path, "a.mp4", "twin.mp4", "twin.avi")
    with pytest.raises(VimixError, match=message):
        list_videos(written(tmp_path, text))


# --- Segments and frames


def stored(listing, folder: Path) -> Hdf5VideoStore:
    """Store a listing in this process; the codec keeps every pixel of the decoded frames."""
    settings = PackSettings(short_side=48, flow="none", codec="raw", rate=0.0)
    files = []
    for number, file in enumerate(listing.files):
        part = folder / f"{number}.part"
        write_part_of_video(PartJob((file,), part), settings)
        label = listing.classes.index(file.class_name) if file.class_name else -1
        files.append(StoredFile(file, label, part))
    VideoStoreBuilder(settings).write(folder / "s.h5", files, listing.classes, 0)
    return Hdf5VideoStore(folder / "s.h5")


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "mpg"])
def test_segments_are_clips_of_their_own_with_exactly_the_frames_between_their_times(tmp_path, ending) -> None:
    """Two segments overlap; the last one begins far behind a key frame, which is found by search in some containers."""
    codec = "mpeg2video" if ending == "mpg" else "libx264"
    write_video(tmp_path / f"v/a.{ending}", moving_square(90, 48, 64), rate=30, codec=codec)
    rows = [("open", "start,end", 0.0, 0.5), ("sit", "start,end", 0.4, 1.0), ("sit", "start,end", 2.2, 2.5)]
    text = "path,label,split,start,end\n" + "".join(f"a.{ending},{label},train,{a},{b}\n" for label, _, a, b in rows)
    listing = list_videos(written(tmp_path, text), tmp_path / "v")
    assert [file.segment for file in listing.files] == [Segment(0, 0.5), Segment(0.4, 1), Segment(2.2, 2.5)]
    store = stored(listing, tmp_path)
    assert [video.name for video in store.videos] == [f"a@{mark}.{ending}" for mark in ("0-0.5s", "0.4-1s", "2.2-2.5s")]
    assert {video.source for video in store.videos} == {"a"}, "segments of a recording are no negatives of each other"
    assert [store.classes[video.label] for video in store.videos] == ["open", "sit", "sit"]
    found = [frame_numbers(store.read(i, RGB, 0, video.frames)) for i, video in enumerate(store.videos)]
    assert found == [list(range(15)), list(range(12, 30)), [n % 32 for n in range(66, 75)]]


def test_segments_by_numbers_of_frames_and_behind_the_end(tmp_path) -> None:
    write_video(tmp_path / "a.mp4", moving_square(30, 48, 64))
    text = "path,label,split,start_frame,end_frame\na.mp4,x,train,3,7\n"
    store = stored(list_videos(written(tmp_path, text)), tmp_path)
    assert store.videos[0].name == "a@3-7f.mp4"
    assert frame_numbers(store.read(0, RGB, 0, 4)) == [3, 4, 5, 6]
    text = "path,label,split,start,end\na.mp4,x,train,0.5,4\n"
    with pytest.raises(VimixError, match="the segment ends at 4 seconds, the video at 1"):
        stored(list_videos(written(tmp_path, text)), tmp_path)


def write_frames(folder: Path, pictures: np.ndarray, name: str) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, 1):
        assert cv2.imwrite(str(folder / (name % number)), np.ascontiguousarray(picture[..., ::-1]))


@pytest.mark.parametrize(
    ("name", "listed"), [("%05d.png", "clip"), ("img_%d.png", "clip"), ("a_%05d.png", "clip/a_%05d.png")]
)
def test_folders_of_frames_are_videos_by_number_or_by_pattern(tmp_path, name, listed) -> None:
    pictures = moving_square(12, 48, 64)
    write_frames(tmp_path / "clip", pictures, name)
    if "/" in listed:  # another sequence beside it: the pattern says which one is meant
        write_frames(tmp_path / "other", pictures[::-1], "b_%05d.png")
        for path in (tmp_path / "other").iterdir():
            shutil.move(path, tmp_path / "clip")
    (tmp_path / "clip/flow_x_00001.png").touch()
    listing = list_videos(written(tmp_path, f"path,label,split,fps\n{listed},x,train,12\n"))
    store = stored(listing, tmp_path)
    assert np.array_equal(store.read(0, RGB, 0, 12), pictures)
    assert store.videos[0].rate == 12
    (tmp_path / "clip" / (name % 5)).unlink()
    with pytest.raises(VimixError, match="image 5 is missing between"):
        stored(listing, tmp_path)


def test_two_sequences_of_images_in_a_folder_need_a_pattern(tmp_path) -> None:
    touch(tmp_path, "clip/a_1.jpg", "clip/a_2.jpg", "clip/b_1.jpg", "clip/b_2.jpg")
    listing = list_videos(written(tmp_path, "clip 1\n", "train.txt"))
    with pytest.raises(VimixError, match=r"images of 2 kinds \(a_#.jpg and b_#.jpg\): name one"):
        stored(listing, tmp_path)


def test_folders_of_frames_and_gifs_lie_in_class_folders(tmp_path) -> None:
    write_frames(tmp_path / "v/bow/clip1", moving_square(6, 48, 64), "%05d.png")
    write_frames(tmp_path / "v/bow/clip2", moving_square(8, 48, 64), "%05d.png")
    write_video(tmp_path / "v/wave/c.gif", moving_square(7, 48, 64), rate=10, codec="gif", pixels="rgb8")
    store = stored(list_folder(tmp_path / "v"), tmp_path)
    assert [(video.name, video.frames) for video in store.videos] == [
        ("bow/clip1", 6),
        ("bow/clip2", 8),
        ("wave/c.gif", 7),
    ]
    assert frame_numbers(store.read(1, RGB, 0, 8)) == list(range(8))
    assert store.videos[2].rate == pytest.approx(10)


@pytest.mark.slow
def test_segments_and_frames_go_through_the_command_and_a_second_call_finds_them_done(tmp_path, capsys) -> None:
    write_video(tmp_path / "v/a.mp4", moving_square(40, 48, 64))
    write_frames(tmp_path / "v/clip", moving_square(6, 48, 64), "%05d.png")
    text = "path,label,split,start,end\na.mp4,x,train,0,0.5\na.mp4,y,test,0.5,1\nclip,x,train,,\n"
    (lists,) = written(tmp_path, text)
    command = ["prepare", "csv", lists, "--videos", tmp_path / "v", "--out", tmp_path / "s.h5", "--flow", "none"]
    assert vimix(*command, "--workers", 1, "--frame-rate", 15) == 0
    assert "1 folders of images taken as 15 frames a second" in " ".join(capsys.readouterr().out.split())
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert [(v.name, v.frames, v.rate) for v in store.videos] == [
        ("a@0-0.5s.mp4", 15, 30.0),
        ("a@0.5-1s.mp4", 15, 30.0),
        ("clip", 6, 15.0),
    ]
    assert vimix(*command, "--workers", 1, "--frame-rate", 15) == 0
    assert "nothing to do" in capsys.readouterr().err
    with (tmp_path / "s.quarantine.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == []
