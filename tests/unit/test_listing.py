"""Listing a set compares each file with a few others at most, whatever the number of files."""

from pathlib import Path

import pytest

from tests.builders import touch
from tests.fakes.counted import CountedText
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.listing import DatasetFile, own_listing
from vimix_adapters.prepare.skeleton_listing import list_skeletons


@pytest.fixture
def comparisons(monkeypatch) -> list[object]:
    """One entry for each time that a listed file is compared with something."""
    seen: list[object] = []
    equal = DatasetFile.__eq__

    def counted(self: DatasetFile, other: object) -> bool:
        seen.append(other)
        return equal(self, other)

    monkeypatch.setattr(DatasetFile, "__eq__", counted)
    return seen


def test_files_of_one_sequence_are_told_from_those_of_several_without_comparing_them(tmp_path, comparisons) -> None:
    single = [f"S001C001P00{i}R001A001.skeleton" for i in range(1, 5)]
    touch(tmp_path, *single, "a.npy", "b.NPZ", "c.pkl")
    listing = list_skeletons(tmp_path)
    assert [file.name for file in listing.files] == single
    assert sorted(name for name, _ in listing.left_out) == ["a.npy", "b.NPZ", "c.pkl"]
    assert not comparisons


@pytest.mark.parametrize("unlabelled", [False, True])
def test_videos_in_no_class_folder_are_found_without_comparing_files(tmp_path, comparisons, unlabelled) -> None:
    names = [*(f"bow/{i}.mp4" for i in range(4)), "x.mp4", "y.mp4"]
    touch(tmp_path, *names)
    listing = list_folder(tmp_path, unlabelled=unlabelled)
    assert [file.name for file in listing.files] == (names if unlabelled else names[:4])
    assert [name for name, _ in listing.left_out] == ([] if unlabelled else names[4:])
    assert not comparisons


def test_a_list_of_missing_files_is_compared_with_each_file_once_at_most() -> None:
    names = [f"{i}.json" for i in range(40)]
    listed = [DatasetFile(Path(name), CountedText(name), "bow", name, ("train",)) for name in names]
    CountedText.comparisons = 0
    listing = own_listing("own", listed, [CountedText(name) for name in names[20:]])
    assert CountedText.comparisons <= 2 * len(names)
    assert [file.name for file in listing.files] == names[:20]
    assert listing.missing == dict.fromkeys(names[20:], ("train",))
