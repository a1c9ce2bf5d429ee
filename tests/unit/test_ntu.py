"""NTU RGB+D's names, protocols and missing skeletons; lists of skeleton files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import touch
from vimix.values.errors import VimixError
from vimix_adapters.datasets.ntu import (
    OFFICIAL,
    TRAIN_PERFORMERS,
    class_names,
    missing_skeletons,
    parse_name,
    splits_of,
)
from vimix_adapters.datasets.skeleton_files import list_ntu
from vimix_adapters.prepare.skeleton_listing import list_skeletons

# Samples of the protocols before the missing skeletons are taken out.
CAPTURED = {"xsub-train": 40320, "xsub-test": 16560, "xview-train": 37920, "xview-test": 18960}


def test_a_name_gives_its_five_numbers_with_any_ending() -> None:
    for text in ("S017C003P008R002A059.skeleton", "S017C003P008R002A059_rgb.avi", "S017C003P008R002A059"):
        name = parse_name(text)
        assert (name.setup, name.camera, name.performer, name.replication, name.action) == (17, 3, 8, 2, 59)
        assert name.source == "S017P008R002A059"
        assert name.edition == 60
    assert parse_name("S018C001P008R002A061").edition == 120


@pytest.mark.parametrize(
    "text", ["S001C001P001R001A000", "S000C001P001R001A001", "S033C001P001R001A001", "S001C001P001R001A121", "s1", ""]
)
def test_other_names_are_none(text) -> None:
    assert parse_name(text) is None


@given(st.text("SCPRA019_", max_size=24))
def test_any_text_is_a_name_or_none(text) -> None:
    name = parse_name(text)
    assert name is None or splits_of(name, name.edition)


@pytest.mark.parametrize(
    ("text", "edition", "splits"),
    [
        ("S001C001P001R001A001", 60, ("xsub-train", "xview-test")),
        ("S001C002P003R001A001", 60, ("xsub-test", "xview-train")),
        ("S002C003P045R001A061", 120, ("xsub-train", "xset-train")),
        ("S019C001P048R001A061", 120, ("xsub-test", "xset-test")),
    ],
)
def test_protocols_are_the_authors(text, edition, splits) -> None:
    assert splits_of(parse_name(text), edition) == splits


def test_the_missing_skeletons_explain_the_official_numbers() -> None:
    missing = [parse_name(name) for name in missing_skeletons()]
    assert len(missing) == 535
    of_60 = [name for name in missing if name.edition == 60]
    assert len(of_60) == 302
    for split, captured in CAPTURED.items():
        assert captured - sum(split in splits_of(name, 60) for name in of_60) == OFFICIAL[60][split]
    assert [sum(OFFICIAL[120][f"{p}-{s}"] for s in ("train", "test")) for p in ("xsub", "xset")] == [114480 - 535] * 2
    assert len(TRAIN_PERFORMERS) == 53
    assert len([p for p in TRAIN_PERFORMERS if p <= 40]) == 20


def test_classes_are_numbered_and_named() -> None:
    assert class_names(60)[0] == "A001 drink water"
    assert class_names(60)[-1] == "A060 walking apart"
    assert class_names(120)[115] == "A116 follow"
    assert class_names(120)[-1] == "A120 rock-paper-scissors"
    assert [len(set(class_names(edition))) for edition in (60, 120)] == [60, 120]


def test_a_folder_of_ntu_is_listed_with_what_is_left_out(tmp_path) -> None:
    names = ["S001C001P001R001A005.skeleton", "deep/S001C002P001R001A005.skeleton", "S018C001P041R001A061.skeleton"]
    excluded, stranger = "S001C002P005R002A008.skeleton", "S001C001P001R001A00x.skeleton"
    folder = touch(tmp_path, *names, excluded, stranger, "readme.txt")
    listing = list_ntu(folder, 60)
    assert [file.name for file in listing.files] == names[:2]
    assert {file.source for file in listing.files} == {"S001P001R001A005"}
    assert [file.class_name for file in listing.files] == ["A005 drop"] * 2
    assert [file.splits for file in listing.files] == [("xsub-train", "xview-test"), ("xsub-train", "xview-train")]
    assert [name for name, _ in listing.left_out] == [stranger]
    assert [name for name, _ in listing.excluded] == [excluded]
    assert len(list_ntu(folder, 120).files) == 3
    assert len(list_skeletons(folder).classes) == 120
    assert [file.name for file in list_skeletons(folder / names[0]).files] == names[:1]
    (tmp_path / "mine.txt").write_text("# mine\nS001C001P001R001A005\n")
    assert [name for name, _ in list_ntu(folder, 60, tmp_path / "mine.txt").excluded] == names[:1]


def test_msr_action_3d_is_split_by_its_subjects(tmp_path) -> None:
    folder = touch(
        tmp_path, "a01_s01_e02_skeleton3D.txt", "a20_s10_e01_skeleton3D.txt", "a21_s01_e01_x.txt", "readme.txt"
    )
    listing = list_skeletons(folder)
    assert [(file.class_name, file.splits, file.source) for file in listing.files] == [
        ("a01 high arm wave", ("train",), "a01_s01_e02_skeleton3D"),
        ("a20 pick up and throw", ("test",), "a20_s10_e01_skeleton3D"),
    ]
    assert [name for name, _ in listing.left_out] == ["a21_s01_e01_x.txt"]


def test_a_list_of_videos_finds_the_skeletons_of_the_same_names(tmp_path) -> None:
    folder = touch(tmp_path / "skeletons", "one.skeleton", "sub/two.txt", "unlisted.skeleton")
    split = tmp_path / "splits.csv"
    split.write_text(
        "path,label,split,source\nbow/one.mp4,bow,train,s1\nwave/two.mp4,wave,test,s2\nbow/no.mp4,bow,test,s3\n"
    )
    listing = list_skeletons(folder, split)
    found = {file.name: (file.class_name, file.splits, file.source) for file in listing.files}
    assert found == {"one.skeleton": ("bow", ("train",), "s1"), "sub/two.txt": ("wave", ("test",), "s2")}
    assert listing.missing == {"bow/no.mp4": ("test",)}
    assert listing.classes == ("bow", "wave")


def test_lists_with_mistakes_are_refused(tmp_path) -> None:
    one = "S001C001P001R001A001.skeleton"
    (tmp_path / "empty").mkdir()
    cases = [
        (lambda: list_ntu(tmp_path / "nowhere", 60), "no such folder"),
        (lambda: list_ntu(tmp_path / "empty", 60), "expected files such as"),
        (lambda: list_skeletons(tmp_path / "empty"), "expected skeleton files .* found no file"),
        (
            lambda: list_ntu(touch(tmp_path / "twice", f"a/{one}", f"b/{one}"), 60),
            "2 files are named S001C001P001R001A001",
        ),
        (lambda: list_ntu(touch(tmp_path / "x", one), 60, tmp_path / "none.txt"), "cannot be read"),
        (lambda: list_ntu(touch(tmp_path / "x", one), 60, touch(tmp_path, "e.txt") / "e.txt"), "found none"),
    ]
    for act, message in cases:
        with pytest.raises(VimixError, match=message):
            act()
