"""HMDB51 as it is distributed: a list ``<class>_test_split<K>.txt`` for each class and split.

Names hold brackets, ``#``, ``&``, ``;`` and spaces: the tag is split off from the right, and no shell sees a name.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import Listing, Wanted, found_on_disk
from vimix_adapters.datasets.text import numbered_lines
from vimix_adapters.files import require_folder

TOTALS: Mapping[str, int] = {f"{kind}{k}": size for k in (1, 2, 3) for kind, size in (("train", 3570), ("test", 1530))}
_LIST = re.compile(r"(.+)_test_split([123])\.txt")
_TAGS = re.compile(r"(.+)_[a-z]_(?:nm|cm)_np\d+_(?:ba|fr|le|ri)_(?:bad|med|goo)_\d+", re.IGNORECASE | re.ASCII)
"""Title and class, then: visible body part, camera motion, number of people, viewpoint, quality, number of the clip."""
_KINDS = {"1": "train", "2": "test", "0": None}


@define
class _Clip:
    class_name: str
    stem: str
    splits: list[str] = field(factory=list)


def list_hmdb51(videos: Path, splits: Path) -> Listing:
    """All splits whose lists are there, as ``train1``, ``test1``, ... ``test3``; classes are sorted by name.

    Videos that no split uses (tag 0) are left out. The source is the title of the recording, see ``recording_of``.
    Raises VimixError if a list is missing or a line cannot be read, naming file and line.
    """
    files = _lists(splits)
    classes = sorted({class_name for class_name, _ in files})
    numbers = sorted({number for _, number in files})
    clips: dict[str, _Clip] = {}
    for number in numbers:
        for class_name in classes:
            for stem, kind in read_list(files[class_name, number]).items():
                clip = clips.setdefault(f"{class_name}/{stem}.avi", _Clip(class_name, stem))
                clip.splits += [f"{kind}{number}"] if kind else []
    wanted = [
        Wanted(name, clip.class_name, recording_of(clip.stem, clip.class_name), tuple(clip.splits), (clip.stem,))
        for name, clip in clips.items()
        if clip.splits
    ]
    present = [split for split in TOTALS if split[-1] in numbers]
    totals = {split: TOTALS[split] for split in present}
    return found_on_disk("hmdb51", wanted, videos, classes, present, totals, fold=True)


def read_list(path: Path) -> dict[str, str | None]:
    """``train``, ``test`` or None (unused) by file name without ending, from lines ``<video>.avi <tag>``."""
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
    """The recording that a clip was cut from, as well as its name tells.

    ``<title>_<class>_<body part>_<camera>_np<N>_<view>_<quality>_<number>``: clips with the same title come from one
    recording, of other classes too (films). A name of another form is a recording of its own.
    """
    match = _TAGS.fullmatch(stem)
    ending = f"_{class_name}".lower()
    if not match or not match[1].lower().endswith(ending) or len(match[1]) == len(ending):
        return f"{class_name}/{stem}"
    return match[1][: -len(ending)]


def _lists(folder: Path) -> dict[tuple[str, str], Path]:
    """The list files by class and number of the split."""
    require_folder(folder, "<class>_test_split1.txt, ... in it")
    found = {(m[1], m[2]): path for path in sorted(folder.iterdir()) if (m := _LIST.fullmatch(path.name))}
    if not found:
        raise VimixError(f"{folder}: expected <class>_test_split1.txt, ... as HMDB51 distributes them, found none")
    for class_name in sorted({name for name, _ in found}):
        for number in sorted({number for _, number in found}):
            if (class_name, number) not in found:
                raise VimixError(f"{folder}/{class_name}_test_split{number}.txt: missing, though other classes have it")
    return found
