"""HMDB51 as it is distributed: a list ``<class>_test_split<K>.txt`` for each class and split.

Names contain brackets, ``#``, ``&``, ``;`` and spaces: the tag is split off from the right.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import ListedClip, Listing, find_clips, with_splits
from vimix_adapters.datasets.text import numbered_lines
from vimix_adapters.files import require_folder

TOTALS: Mapping[str, int] = {f"{kind}{k}": size for k in (1, 2, 3) for kind, size in (("train", 3570), ("test", 1530))}
_LIST = re.compile(r"(.+)_test_split([123])\.txt")
_TAGS = re.compile(r"(.+)_[a-z]_(?:nm|cm)_np\d+_(?:ba|fr|le|ri)_(?:bad|med|goo)_\d+", re.IGNORECASE | re.ASCII)
"""Title and class, then visible body part, camera motion, number of people, viewpoint, quality, number of the clip."""
_KINDS = {"1": "train", "2": "test", "0": None}


def list_hmdb51(videos: Path, splits: Path) -> Listing:
    """List all splits whose lists exist, as ``train1``, ``test1``, ... ``test3``; classes are sorted by name.

    Videos that no split uses (tag 0) are left out. The source is the title of the recording, see ``recording_of``.
    Raises VimixError that names file and line if a list is missing or a line cannot be read.
    """
    files = _lists(splits)
    numbers = {number for _, number in files}
    lists: dict[str, dict[str, ListedClip]] = {split: {} for split in TOTALS if split[-1] in numbers}
    for (class_name, number), path in files.items():
        for stem, kind in read_list(path).items():
            if kind:
                name, source = f"{class_name}/{stem}.avi", recording_of(stem, class_name)
                lists[f"{kind}{number}"][name] = ListedClip(name, class_name, source, (stem,))
    classes = sorted({class_name for class_name, _ in files})
    totals = {split: TOTALS[split] for split in lists}
    return find_clips("hmdb51", with_splits(lists), videos, classes, totals, ignore_case=True)


def read_list(path: Path) -> dict[str, str | None]:
    """Read lines ``<video>.avi <tag>``: ``train``, ``test`` or None (unused) by file name without ending."""
    clips: dict[str, str | None] = {}
    for line, text in numbered_lines(path):
        name, tag = text.rsplit(maxsplit=1) if len(text.split()) > 1 else (text, "")
        stem = name[:-4] if name.lower().endswith(".avi") else ""
        if tag not in _KINDS or not stem or "/" in stem:
            raise VimixError(f"{path}, line {line}: expected '<video>.avi TAG', the tag 0, 1 or 2, got {text!r}")
        if stem in clips:
            raise VimixError(f"{path}, line {line}: {name} is listed twice")
        clips[stem] = _KINDS[tag]
    return clips


def recording_of(stem: str, class_name: str) -> str:
    """Return the recording from which a clip was cut, as far as its name shows.

    ``<title>_<class>_<body part>_<camera>_np<N>_<view>_<quality>_<number>``: clips with one title come from one
    recording, even if they differ in class (films). A name of another form is a recording of its own.
    """
    match = _TAGS.fullmatch(stem)
    ending = f"_{class_name}".lower()
    if not match or not match[1].lower().endswith(ending) or len(match[1]) == len(ending):
        return f"{class_name}/{stem}"
    return match[1][: -len(ending)]


def _lists(folder: Path) -> dict[tuple[str, str], Path]:
    """Find the list files by class and number of the split. Raises VimixError if one is missing."""
    require_folder(folder, "<class>_test_split1.txt, ... in it")
    found = {(m[1], m[2]): path for path in sorted(folder.iterdir()) if (m := _LIST.fullmatch(path.name))}
    if not found:
        raise VimixError(f"{folder}: expected <class>_test_split1.txt, ... as HMDB51 distributes them, found none")
    for class_name in sorted({name for name, _ in found}):
        for number in sorted({number for _, number in found}):
            if (class_name, number) not in found:
                raise VimixError(
                    f"{folder}/{class_name}_test_split{number}.txt: missing, though other classes have theirs"
                )
    return found
