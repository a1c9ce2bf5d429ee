"""UCF101 as it is distributed: ``ucfTrainTestlist/{classInd,trainlist0K,testlist0K}.txt``."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import ListedClip, Listing, find_clips, with_splits
from vimix_adapters.datasets.text import numbered_lines, whole_number

TOTALS: Mapping[str, int] = {
    "train1": 9537,
    "test1": 3783,
    "train2": 9586,
    "test2": 3734,
    "train3": 9624,
    "test3": 3696,
}
_CLIP = re.compile(r"v_(.+)_g([0-9]+)_c([0-9]+)")


def list_ucf101(videos: Path, splits: Path) -> Listing:
    """List all splits whose lists exist, as ``train1``, ``test1``, ... ``test3``.

    Classes and their order come from ``classInd.txt``. Clips of one recording share the source ``v_CLASS_gNN``. Folders
    and files are found in upper or lower case (``HandstandPushups/v_HandStandPushups_g01_c01.avi``).
    Raises VimixError that names file and line if a list is missing or contradicts the others.
    """
    classes = read_class_index(splits / "classInd.txt")
    lists = {split: read_list(splits / _file(split), classes) for split in _present(splits)}
    _refuse_overlaps(splits, lists)
    totals = {split: TOTALS[split] for split in lists}
    return find_clips("ucf101", with_splits(lists), videos, classes, totals, ignore_case=True)


def read_class_index(path: Path) -> list[str]:
    """Read class names from lines such as ``1 ApplyEyeMakeup``, numbered from 1 without a gap; label = number - 1."""
    names: dict[int, str] = {}
    for line, text in numbered_lines(path):
        first, *rest = text.split(maxsplit=1)
        number, name = whole_number(first), "".join(rest)
        if number is None or not name:
            raise VimixError(
                f"{path}, line {line}: expected a number and a class such as '1 ApplyEyeMakeup', got {text!r}"
            )
        if number in names or name.casefold() in (other.casefold() for other in names.values()):
            raise VimixError(f"{path}, line {line}: {text!r} repeats a number or a class")
        names[number] = name
    if sorted(names) != list(range(1, len(names) + 1)) or not names:
        raise VimixError(f"{path}: expected classes numbered 1, 2, 3, ... without a gap, got {len(names)} lines")
    return [names[number] for number in sorted(names)]


def read_list(path: Path, classes: Sequence[str]) -> dict[str, ListedClip]:
    """Read a train or test list: clips by lower-case name from ``CLASS/v_CLASS_gNN_cNN.avi``, with or without label."""
    labels = {name.casefold(): number for number, name in enumerate(classes, 1)}
    clips: dict[str, ListedClip] = {}
    for line, text in numbered_lines(path):
        clip = _clip(f"{path}, line {line}", text, labels, classes)
        key = clip.stems[0].casefold()
        if key in clips:
            raise VimixError(f"{path}, line {line}: {clip.name} is listed twice")
        clips[key] = clip
    return clips


def _clip(line: str, text: str, labels: Mapping[str, int], classes: Sequence[str]) -> ListedClip:
    head, _, tail = text.rpartition(" ")
    label = whole_number(tail) if head else None
    name = (text if label is None else head).strip().replace("\\", "/")
    folder, _, file = name.rpartition("/")
    stem = file.rsplit(".", 1)[0]
    match = _CLIP.fullmatch(stem)
    if not match or not folder:
        raise VimixError(f"{line}: expected CLASS/v_CLASS_gNN_cNN.avi, with a label in a training list, got {text!r}")
    number = labels.get(folder.rsplit("/", 1)[-1].casefold())
    if number is None:
        raise VimixError(f"{line}: class {folder!r} is not in classInd.txt")
    if label not in (None, number):
        raise VimixError(f"{line}: label {label}, but {classes[number - 1]} is number {number} in classInd.txt")
    return ListedClip(name, classes[number - 1], f"v_{match[1]}_g{match[2]}".lower(), (stem,))


def _file(split: str) -> str:
    return f"{split[:-1]}list0{split[-1]}.txt"


def _present(folder: Path) -> list[str]:
    """Return the splits whose two lists exist. Raises VimixError if there is none, or only one list of a split."""
    present = [split for split in TOTALS if (folder / _file(split)).exists()]
    for split in present:
        twin = split.replace("train", "test") if split.startswith("train") else split.replace("test", "train")
        if twin not in present:
            raise VimixError(f"{folder / _file(twin)}: missing, though {_file(split)} exists; a split needs both")
    if not present:
        raise VimixError(
            f"{folder}: expected trainlist01.txt, testlist01.txt, ... as UCF101 distributes them, found none"
        )
    return present


def _refuse_overlaps(folder: Path, lists: Mapping[str, Mapping[str, ListedClip]]) -> None:
    """Raise VimixError if a clip is in the training and the test list of one split."""
    for split, clips in lists.items():
        if split.startswith("test") and (both := clips.keys() & lists[split.replace("test", "train")].keys()):
            name = clips[min(both)].name
            raise VimixError(f"{folder / _file(split)}: {name} is in the training list of that split too")
