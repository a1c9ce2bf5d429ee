"""Published data sets from the files as they are distributed, in small, through the command line."""

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import touch
from tests.cli import refused, vimix
from tests.fakes import official_datasets
from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.datasets import hmdb51, ucf101
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.hmdb51 import list_hmdb51, recording_of
from vimix_adapters.datasets.kinetics import list_kinetics
from vimix_adapters.datasets.listing import video_files
from vimix_adapters.datasets.lists import list_videos
from vimix_adapters.datasets.ntu import class_names, list_ntu_videos, parse_name
from vimix_adapters.datasets.ucf101 import list_ucf101, read_class_index

FAST = ["--flow", "none", "--short-side", "32", "--codec", "raw", "--workers", "1", "--rate", "0"]


def in_split(store: Hdf5VideoStore, split: str) -> set[str]:
    return {store.videos[number].name for number in store.members(split)}


def report(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# --- UCF101


@pytest.fixture
def ucf(tmp_path) -> list[object]:
    """The command that makes ``u.h5`` of the small layout."""
    videos, lists = official_datasets.ucf101(tmp_path)
    return ["prepare", "ucf101", "--videos", videos, "--splits", lists, "--out", tmp_path / "u.h5", *FAST]


@pytest.fixture
def small_ucf(monkeypatch):
    """The official sizes of the small layout."""
    monkeypatch.setattr(
        ucf101, "TOTALS", {f"{kind}{k}": n for k in (1, 2, 3) for kind, n in official_datasets.UCF_SIZES}
    )


HAMMERING = "UCF-101/Hammering/v_Hammering_g01_c02.avi"


@pytest.mark.slow
def test_ucf101_becomes_one_store_with_all_splits(ucf, tmp_path, small_ucf, capsys) -> None:
    assert vimix(*ucf) == 0
    store = Hdf5VideoStore(tmp_path / "u.h5")
    assert list(store.classes) == list(official_datasets.UCF_CLASSES), "classInd's order, not the alphabet's"
    assert set(store.splits) == {"train1", "test1", "train2", "test2", "train3", "test3"}
    assert len(store.videos) == 24
    for k in (1, 2, 3):
        assert in_split(store, f"train{k}") | in_split(store, f"test{k}") == {video.name for video in store.videos}
        assert all(f"_g0{k}_" in name for name in in_split(store, f"test{k}"))
        assert len(store.members(f"test{k}")) == 8
    for video in store.videos:
        assert store.classes[video.label] == video.name.split("/")[0]
        assert video.frames == 4
    assert Counter(video.source for video in store.videos)["v_handstandpushups_g01"] == 2
    account = report(tmp_path / "u.report.json")
    assert account["complete"]
    assert account["splits"]["train1"] == {
        "split": "train1", "official": 16, "listed": 16, "found": 16, "missing": 0, "unreadable": 0,
    }  # fmt: skip
    assert "train1" in capsys.readouterr().out


def test_an_incomplete_set_is_refused_before_anything_is_decoded(ucf, tmp_path, small_ucf, capsys) -> None:
    (tmp_path / HAMMERING).unlink()
    assert vimix(*ucf) == 3
    assert "--allow-partial" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["UCF-101", "u.report.json", "ucfTrainTestlist"]
    account = report(tmp_path / "u.report.json")
    assert account["missing"] == {"Hammering/v_Hammering_g01_c02.avi": ["test1", "train2", "train3"]}
    assert (account["store"], account["decoded"], account["splits"]["test1"]["missing"]) == (None, False, 1)


@pytest.mark.slow
def test_unreadable_files_keep_parts_and_a_second_call_takes_what_there_is(ucf, tmp_path, small_ucf, capsys) -> None:
    (tmp_path / HAMMERING).write_bytes(b"")
    assert vimix(*ucf) == 3
    assert not (tmp_path / "u.h5").exists()
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "u.h5.parts").glob("*.h5")}
    assert len(parts) == 23
    assert report(tmp_path / "u.report.json")["unreadable"] == {"Hammering/v_Hammering_g01_c02.avi": "empty file"}
    assert "what was packed is kept" in capsys.readouterr().out
    assert vimix(*ucf, "--allow-partial") == 0
    assert "23 of 24 videos were packed before" in capsys.readouterr().err
    store = Hdf5VideoStore(tmp_path / "u.h5")
    assert (len(store.videos), store.quarantined, len(store.members("test1"))) == (23, 1, 7)
    assert report(tmp_path / "u.report.json")["splits"]["test1"]["unreadable"] == 1


@pytest.mark.slow
def test_a_dry_run_does_all_but_decode(ucf, tmp_path, small_ucf) -> None:
    assert vimix(*ucf, "--dry-run") == 0
    assert not (tmp_path / "u.h5").exists()
    assert not (tmp_path / "u.h5.parts").exists()
    assert report(tmp_path / "u.report.json")["splits"]["train2"]["found"] == 16


@pytest.mark.slow
def test_official_totals_reveal_a_shortened_list(ucf, tmp_path) -> None:
    assert vimix(*ucf, "--dry-run") == 3
    count = report(tmp_path / "u.report.json")["splits"]["train1"]
    assert (count["official"], count["listed"], count["missing"]) == (9537, 16, 9521)
    assert dict(ucf101.TOTALS) == {
        "train1": 9537, "test1": 3783, "train2": 9586, "test2": 3734, "train3": 9624, "test3": 3696,
    }  # fmt: skip


def test_videos_are_found_in_any_folder_case_and_format(tmp_path) -> None:
    videos, lists = official_datasets.ucf101(tmp_path)
    (videos / "HandstandPushups").rename(videos / "HANDSTANDPUSHUPS")
    first = videos / "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    first.rename(videos / "v_applyeyemakeup_g01_c01.MP4")
    listing = list_ucf101(videos, lists)
    assert not listing.missing
    found = {video.name: video.path.name for video in listing.files}
    assert found["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"] == "v_applyeyemakeup_g01_c01.MP4"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("classInd.txt", "0 A\n1 B\n", "numbered 1, 2, 3"),
        ("classInd.txt", "1 A\n1 B\n", "line 2: '1 B' repeats"),
        ("classInd.txt", "one A\n", "line 1: expected a number and a class"),
        ("trainlist01.txt", "Hammering/v_Hammering_g02_c01.avi 3\n", "line 1: label 3, but Hammering is number 2"),
        ("trainlist01.txt", "Juggling/v_Juggling_g02_c01.avi 1\n", "class 'Juggling' is not in classInd.txt"),
        ("trainlist01.txt", "Hammering/hammer.avi 2\n", "line 1: expected CLASS/v_CLASS_gNN_cNN.avi"),
        ("testlist01.txt", "Hammering/v_Hammering_g02_c01.avi\n", "is in the training list"),
        ("testlist01.txt", "Hammering/v_Hammering_g01_c01.avi\n" * 2, "line 2: .* is listed twice"),
        ("testlist02.txt", None, "testlist02.txt: missing, though trainlist02.txt exists"),
    ],
)
def test_a_mistake_in_ucf101s_lists_is_named_with_its_line(tmp_path, file, text, message) -> None:
    videos, lists = official_datasets.ucf101(tmp_path)
    if text is None:
        (lists / file).unlink()
    else:
        (lists / file).write_text(text)
    with pytest.raises(VimixError, match=message):
        list_ucf101(videos, lists)


# --- HMDB51


def test_hmdb51_becomes_one_store_with_tags_and_odd_names_as_they_are(tmp_path, monkeypatch) -> None:
    videos, lists = official_datasets.hmdb51(tmp_path)
    monkeypatch.setattr(hmdb51, "TOTALS", {"train1": 2, "test1": 2, "train2": 2, "test2": 2, "train3": 2, "test3": 0})
    command = ["prepare", "hmdb51", "--videos", videos, "--splits", lists, "--out", tmp_path / "h.h5", *FAST]
    assert vimix(*command) == 0
    store = Hdf5VideoStore(tmp_path / "h.h5")
    assert list(store.classes) == ["brush_hair", "climb"]
    first = {f"{name}/{stems[0]}.avi" for name, stems in official_datasets.HMDB_CLASSES.items()}
    second = {f"{name}/{stems[1]}.avi" for name, stems in official_datasets.HMDB_CLASSES.items()}
    assert (in_split(store, "train1"), in_split(store, "test1")) == (first, second)
    assert (in_split(store, "train2"), in_split(store, "test2")) == (second, first)
    assert in_split(store, "train3") == second
    sources = {video.name.split("/")[1]: video.source for video in store.videos}
    assert sources["April_09_brush_hair_u_nm_np1_ba_goo_0.avi"] == sources["April_09_brush_hair_u_nm_np1_ba_goo_1.avi"]


def test_a_video_that_no_split_uses_is_left_out(tmp_path) -> None:
    videos, lists = official_datasets.hmdb51(tmp_path)
    for k in (1, 2, 3):
        (lists / f"climb_test_split{k}.txt").write_text("x_climb_f_cm_np1_ba_bad_0.avi 0\n")
    listing = list_hmdb51(videos, lists)
    assert {video.class_name for video in listing.files} == {"brush_hair"}
    assert listing.classes == ("brush_hair", "climb")


@pytest.mark.parametrize(
    ("stem", "class_name", "source"),
    [
        ("April_09_brush_hair_u_nm_np1_ba_goo_0", "brush_hair", "April_09"),
        ("(HQ)_Rock_&_#1;_climb_f_cm_np1_le_med_6", "climb", "(HQ)_Rock_&_#1;"),
        ("LOTR_Sword_u_nm_np10_fr_bad_12", "sword", "LOTR"),
        ("holiday 2", "wave", "wave/holiday 2"),
        ("_wave_u_nm_np1_fr_bad_0", "wave", "wave/_wave_u_nm_np1_fr_bad_0"),
    ],
)
def test_hmdb51s_recording_is_the_title_before_the_class(stem, class_name, source) -> None:
    assert recording_of(stem, class_name) == source


@pytest.mark.parametrize("line", ["a.avi 3", "a.avi", "1", "a.mp4 1", "x/a.avi 1", "a.avi one"])
def test_a_mistake_in_hmdb51s_lists_is_named_with_its_line(tmp_path, line) -> None:
    videos, lists = official_datasets.hmdb51(tmp_path)
    (lists / "climb_test_split2.txt").write_text(f"ok_climb_f_cm_np1_ba_bad_0.avi 1\n{line}\n")
    with pytest.raises(VimixError, match=r"climb_test_split2\.txt, line 2: expected"):
        list_hmdb51(videos, lists)


def test_a_class_without_its_list_is_named(tmp_path) -> None:
    videos, lists = official_datasets.hmdb51(tmp_path)
    (lists / "climb_test_split3.txt").unlink()
    with pytest.raises(VimixError, match=r"climb_test_split3\.txt: missing"):
        list_hmdb51(videos, lists)


# --- Kinetics


def test_kinetics_is_stored_as_far_as_it_is_there(tmp_path, capsys) -> None:
    videos, *files = official_datasets.kinetics(tmp_path)
    lists = ["--annotations", ",".join(map(str, files))]
    command = ["prepare", "kinetics", "--videos", videos, *lists, "--out", tmp_path / "k.h5", *FAST]
    assert vimix(*command) == 3
    assert "missing: yoga/gone0000000_000005_000015.mp4" in capsys.readouterr().out
    assert vimix(*command, "--allow-partial") == 0
    store = Hdf5VideoStore(tmp_path / "k.h5")
    assert list(store.classes) == ["air drumming", "riding a bike", "yoga"]
    assert {split: len(store.members(split)) for split in store.splits} == {"train": 2, "val": 2, "test": 1}
    labels = {video.name: video.label for video in store.videos}
    assert labels == {
        "air drumming/0wR5jVB-WPk_000417_000427.mp4": 0,
        "riding a bike/-abc_DEF123_000000_000010.mp4": 1,
        "yoga/aBcDeFgHiJk_000030_000040.mp4": 2,
        "yoga/abcdefghijk_000030_000040.mp4": 2,
        "T0000000000_000001_000011.mp4": -1,
    }
    assert {video.source for video in store.videos} == {
        "0wR5jVB-WPk", "-abc_DEF123", "aBcDeFgHiJk", "abcdefghijk", "T0000000000",
    }  # fmt: skip


def test_kinetics_ids_keep_their_case_and_replacements_win(tmp_path) -> None:
    videos, *files = official_datasets.kinetics(tmp_path)
    found = {video.name: video.path for video in list_kinetics(videos, files).files}
    assert found["yoga/abcdefghijk_000030_000040.mp4"].parent.name == "yoga"
    assert found["yoga/aBcDeFgHiJk_000030_000040.mp4"].name == "aBcDeFgHiJk_000030_000040.mp4"
    (videos / "val/yoga/abcdefghijk_000030_000040.mp4").unlink()
    assert "yoga/abcdefghijk_000030_000040.mp4" in list_kinetics(videos, files).missing
    (videos / "val/yoga/aBcDeFgHiJk_000030_000040.mp4").rename(videos / "train/aBcDeFgHiJk_000030_000040.mp4")
    found = {video.name: video.path for video in list_kinetics(videos, files).files}
    assert found["yoga/aBcDeFgHiJk_000030_000040.mp4"].parent.name == "replacement"


def test_a_plain_name_is_not_guessed_at_where_a_video_has_several_clips(tmp_path) -> None:
    official_datasets.clip(tmp_path / "v/abc.mp4")
    (tmp_path / "a.csv").write_text("label,youtube_id,time_start,time_end,split\nx,abc,0,10,train\nx,abc,10,20,train\n")
    assert len(list_kinetics(tmp_path / "v", [tmp_path / "a.csv"]).missing) == 2


# --- NTU, own lists


def test_ntu_videos_are_split_by_performer_and_camera(tmp_path) -> None:
    names = [f"S001C00{c}P00{p}R001A0{a}_rgb.avi" for c in (1, 2, 3) for p in (1, 3) for a in (10, 60)]
    folder = touch(tmp_path / "nturgb+d_rgb", *names, "S018C001P001R001A001_rgb.avi", "S001C001P001R001A001.avi")
    listing = list_ntu_videos(folder)
    assert [video.name for video in listing.files] == sorted(names)
    assert len(listing.classes) == 60
    for video in listing.files:
        parsed = parse_name(video.path.stem)
        assert video.class_name == class_names(60)[parsed.action - 1]
        assert video.splits == (
            "xsub-train" if parsed.performer == 1 else "xsub-test",
            "xview-test" if parsed.camera == 1 else "xview-train",
        )
    assert set(Counter(video.source for video in listing.files).values()) == {3}, "the cameras are siblings"
    extended = list_ntu_videos(folder, 120)
    assert len(extended.files) == len(names) + 1
    assert extended.splits == ("xsub-train", "xset-test", "xsub-test", "xset-train")


@pytest.mark.slow
def test_a_csv_list_names_splits_labels_and_groups(tmp_path, capsys) -> None:
    for name in ("a b.mp4", "sub/c.mp4", "d.mp4"):
        official_datasets.clip(tmp_path / name)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.csv").write_text(
        'path,split,label,group\n"a b.mp4",train1;test2,wave,g1\nsub/c.mp4,train1,,\nd.mp4,test1,bow,g1\n'
        "broken.mp4,train1,bow,\ngone.mp4,test1,bow,\n"
    )
    assert vimix("prepare", "csv", tmp_path / "list.csv", "--out", tmp_path / "s.h5", *FAST) == 3
    shown = capsys.readouterr().out
    assert "missing: gone.mp4" in shown
    assert "less than 95% of the videos were stored" in shown
    store = Hdf5VideoStore(tmp_path / "s.h5")
    assert list(store.classes) == ["bow", "wave"]
    assert [(v.name, v.label, v.source) for v in store.videos] == [
        ("a b.mp4", 1, "g1"), ("d.mp4", 0, "g1"), ("sub/c.mp4", -1, "sub/c"),
    ]  # fmt: skip
    assert in_split(store, "train1") == {"a b.mp4", "sub/c.mp4"}
    assert in_split(store, "test2") == {"a b.mp4"}
    command = ["prepare", "csv", tmp_path / "list.csv", "--out", tmp_path / "s.h5", *FAST, "--short-side", "48"]
    assert "made with other settings: choose another --out, or replace it with --force" in refused(capsys, *command)
    assert vimix(*command, "--force") == 3
    assert Hdf5VideoStore(tmp_path / "s.h5").settings.short_side == 48


def test_linked_folders_are_entered_once_and_links_in_circles_end(tmp_path) -> None:
    official_datasets.clip(tmp_path / "elsewhere/bow/a.mp4")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/bow").symlink_to(tmp_path / "elsewhere/bow")
    (tmp_path / "videos/loop").symlink_to(tmp_path / "videos")
    (tmp_path / "videos/self.mp4").symlink_to("self.mp4")
    assert [path.name for path in video_files(tmp_path / "videos").paths] == ["a.mp4", "self.mp4"]


# --- Any bytes

LINE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "1 ApplyEyeMakeup", "2 Hammering", "Hammering/v_Hammering_g01_c01.avi 2",
            "Hammering/v_Hammering_g01_c01.avi", "a b_climb_f_cm_np1_ba_bad_0.avi 1 ", "x.avi 9",
            "label,youtube_id,time_start,time_end,split", "yoga,abcdefghijk,1e3,٣,train",
            "yoga,abcdefghijk,1,inf,train", "path,split,label,group", "a.mp4,train;,x,y",
            '"a', "path,split,split", "\x00", "\u2028", "²",
        ]
    ),
)  # fmt: skip
BYTES = st.one_of(
    st.binary(max_size=120),
    st.builds(
        lambda lines, end: end.join(lines).encode("utf-8", "surrogatepass"),
        st.lists(LINE, max_size=6),
        st.sampled_from(["\n", "\r\n", "\r"]),
    ),
)


def _ucf(folder: Path) -> None:
    (folder / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Hammering\n")
    (folder / "testlist01.txt").touch()
    list_ucf101(folder, folder)


def _class_index(folder: Path) -> None:
    assert read_class_index(folder / "classInd.txt")


READERS: dict[str, Callable[[Path], object]] = {
    "trainlist01.txt": _ucf,
    "classInd.txt": _class_index,
    "climb_test_split1.txt": lambda folder: list_hmdb51(folder, folder),
    "train.csv": lambda folder: list_kinetics(folder, [folder / "train.csv"]),
    "list.csv": lambda folder: list_videos([folder / "list.csv"]),
    "split.csv": lambda folder: list_folder(folder, folder / "split.csv"),
}
"""Readers of a folder with the list of that name."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", READERS)
@given(data=BYTES)
def test_any_bytes_give_a_value_or_a_refusal_that_names_the_file(tmp_path_factory, name, data) -> None:
    folder = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    try:
        READERS[name](folder)
    except VimixError as error:
        told = str(error)
    else:
        told = str(folder)
    assert str(folder) in told


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("list.csv", b"path,split\na\x00.mp4,train\n", r"line 2: expected text, found the control character '\\x00'"),
        ("list.csv", b"path,split\n\na\xff.mp4,train\n", "line 3: expected UTF-8 text, found the byte 0xff"),
        ("list.csv", b"path,split\n../a.mp4,train\n", r"line 2: \.\./a.mp4 must be a path below"),
        ("list.csv", b"path,split\na.mp4,train;\n", "line 2: split 'train;' must be a name"),
        ("list.csv", b"path,path,split\n", "line 1: column path occurs twice"),
        ("split.csv", b"a,b\n1,2\n", "line 1: expected the header path,label,split"),
        ("split.csv", b"path,label,split\nbow/a.mp4,,train\n", "line 2: .*label missing"),
        ("split.csv", b"path,label,split\n../x.mp4,a,train\n", "line 2: .*must be a path below"),
        ("split.csv", b"path,label,split\na.mp4,a,train\na.mp4,a,test\n", "line 3: .*listed twice"),
        (
            "train.csv",
            b"label,youtube_id\n",
            "line 1: expected the header youtube_id,time_start,time_end,.*time_start, time_end missing",
        ),
        ("train.csv", b"youtube_id,time_start,time_end\nabc,0,ten\n", "line 2: time_end 'ten'"),
        ("train.csv", b"youtube_id,time_start,time_end\nabc,nan,10\n", "line 2: time_start 'nan'"),
        ("train.csv", b"youtube_id,time_start,time_end\na/../b,0,10\n", "line 2: youtube_id"),
        ("train.csv", b"youtube_id,time_start,time_end\nabc,0,10,x\n", "line 2: 4 cells"),
        (
            "train.csv",
            b"label,youtube_id,time_start,time_end\nx,abc,0,10\ny,abc,0,10\n",
            "line 3: .* is 'y' here and 'x' elsewhere",
        ),
        ("train.csv", b"youtube_id,time_start,time_end\n", "found none"),
    ],
)
def test_a_mistake_in_a_csv_list_is_named_with_its_line(tmp_path, name, data, message) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VimixError, match=message):
        READERS[name](tmp_path)


@pytest.mark.timeout(30)
def test_a_list_that_is_a_pipe_or_a_folder_is_refused_without_waiting(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path, tmp_path / "nowhere.csv"):
        with pytest.raises(VimixError, match="expected a text file"):
            list_videos([path])
