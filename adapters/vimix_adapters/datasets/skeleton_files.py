"""Skeleton files, listed by the names of NTU RGB+D, MSRAction3D and NW-UCLA or by a CSV list."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import DatasetFile, Listing, name_below, noted, own_listing
from vimix_adapters.datasets.ntu import OFFICIAL, class_names, missing_skeletons, parse_name, splits_of
from vimix_adapters.files import require_folder

# fmt: off
_MSR_ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)
# fmt: on
MSR_CLASSES = {number: f"a{number:02d} {action}" for number, action in enumerate(_MSR_ACTIONS, 1)}
"""Classes of MSRAction3D (Li et al. 2010) by the number in the files' names."""
UCLA_CLASSES = {
    1: "a01 pick up with one hand",
    2: "a02 pick up with two hands",
    3: "a03 drop trash",
    4: "a04 walk around",
    5: "a05 sit down",
    6: "a06 stand up",
    8: "a08 donning",
    9: "a09 doffing",
    11: "a11 throw",
    12: "a12 carry",
}
"""Classes of NW-UCLA (Wang et al. 2014) by the number in the files' names."""


@frozen
class NamedFiles:
    """A data set whose file names say the action and the split."""

    dataset: str
    name: re.Pattern[str]
    """Start of a file name; its first group is the number of the action."""
    classes: Mapping[int, str]
    split: Callable[[re.Match[str]], str | None]
    """Split of a file by its name; None if the data set has no such file."""
    expected: str
    """The right name, for messages."""
    others: tuple[str, ...] = ("",)
    """Endings of files with other names that are reported; the rest are ignored."""


NAMED_FILES = (
    NamedFiles(
        "nw-ucla",
        re.compile(r"a(\d\d)_s\d\d_e\d\d_v(\d\d)"),
        UCLA_CLASSES,
        lambda name: {1: "train", 2: "train", 3: "test"}.get(int(name[2])),
        "aAA_sSS_eEE_vVV with an action and a view of NW-UCLA",
    ),
    NamedFiles(
        "msraction3d",
        re.compile(r"a(\d\d)_s(\d\d)_e\d\d_"),
        MSR_CLASSES,
        lambda name: "train" if int(name[2]) % 2 else "test",
        "aAA_sSS_eEE_*.txt with an action of 1 to 20",
        (".skeleton",),
    ),
)


def list_ntu(folder: Path, edition: int, missing: Path | None = None) -> Listing:
    """List the samples of NTU RGB+D 60 or 120 below ``folder``; 60 ignores those of the extension.

    The authors exclude samples with missing skeletons; ``missing`` is a list to use instead of theirs.
    Raises VimixError if the folder is missing or has no sample, or two files have one name.
    """
    require_folder(folder, "skeleton files below it")
    return _ntu(folder, sorted(folder.rglob("*.skeleton")), edition, missing)


def _ntu(folder: Path, paths: Sequence[Path], edition: int, missing: Path | None = None) -> Listing:
    incomplete, classes = missing_skeletons(missing), class_names(edition)
    files, excluded, left_out = [], [], []
    for path in paths:
        sample, name = parse_name(path.name), name_below(path, folder)
        if sample is None:
            left_out.append((name, "its name is not SsssCcccPpppRrrrAaaa.skeleton"))
        elif sample.edition > edition:
            continue
        elif path.name[:20] in incomplete:
            excluded.append((name, "listed by the authors as a sample with a missing or incomplete skeleton"))
        else:
            label = classes[sample.action - 1]
            files.append(DatasetFile(path, name, label, sample.source, splits_of(sample, edition)))
    if not files and not excluded:
        raise VimixError(f"{folder}: expected files such as S001C001P001R001A001.skeleton below it, found none")
    _require_unique([Path(name).stem for name in (*(file.name for file in files), *(name for name, _ in excluded))])
    totals = OFFICIAL[edition]
    return Listing(
        f"ntu{edition}",
        tuple(files),
        classes,
        tuple(totals),
        left_out=tuple(left_out),
        excluded=tuple(excluded),
        totals=totals,
        official=True,
    )


def by_names(folder: Path, found: Sequence[DatasetFile]) -> Listing:
    """List files whose names say class and split.

    Known are the names of NTU RGB+D (all its protocols are splits), MSRAction3D's ``aAA_sSS_eEE_*`` (odd subjects are
    for training), and NW-UCLA's ``aAA_sSS_eEE_vVV`` (view 3 is for testing). Raises VimixError if no name is
    one of these, or two files have one name.
    """
    paths = [file.path for file in found]
    for known in NAMED_FILES:
        if any(known.name.match(path.name) for path in paths):
            return _named(folder, paths, known)
    samples = [name for path in paths if (name := parse_name(path.name))]
    if not samples:
        raise VimixError(
            f"{folder}: its {len(found)} files ({found[0].name}, ...) have no labels, and none is named "
            "SsssCcccPpppRrrrAaaa, aAA_sSS_eEE_* or aAA_sSS_eEE_vVV: give --split FILE with path,label,split"
        )
    endings = {path.suffix for path in paths if parse_name(path.name)}
    listing = _ntu(folder, [p for p in paths if p.suffix in endings], max(name.edition for name in samples))
    return evolve(listing, totals={}, official=False)


def by_list(found: Sequence[DatasetFile], folder: Path, split: Path) -> Listing:
    """List files by a CSV list ``path,label,split[,source]``.

    Its paths may be those of videos: a file is found by its name without folder and ending, a sequence in a file of
    several by its name. Raises VimixError if a line cannot be read, or two files have one name.
    """
    rows = sorted(listed_in(split, folder, labels_needed=True), key=lambda row: row.name)
    if not rows:
        raise VimixError(f"{split}: expected a line path,label,split[,source] for each file, found none")
    _require_unique(Path(row.name).stem for row in rows)
    wanted = {Path(row.name).stem for row in rows}
    _require_unique(_stem(file) for file in found if _stem(file) in wanted)
    by_stem = {_stem(file): file for file in found}
    files, missing = [], []
    for row in rows:
        file = by_stem.get(Path(row.name).stem)
        if file is None:
            missing.append(row.name)
        files.append(row if file is None else evolve(row, path=file.path, name=file.name, part=file.part))
    listing = own_listing("skeletons", files, missing)
    unlisted = sorted(_stem(file) for file in found if _stem(file) not in wanted)
    return evolve(listing, notes=noted(f"files are not in {split} and were not used", unlisted))


def _stem(file: DatasetFile) -> str:
    return Path(file.part or file.path.name).stem


def _named(folder: Path, paths: Sequence[Path], known: NamedFiles) -> Listing:
    files, left_out = [], []
    for path in paths:
        match, name = known.name.match(path.name), name_below(path, folder)
        class_name = known.classes.get(int(match[1])) if match else None
        split = known.split(match) if match else None
        if class_name and split:
            files.append(DatasetFile(path, name, class_name, path.stem, (split,)))
        elif match or path.name.endswith(known.others):
            left_out.append((name, f"its name is not {known.expected}"))
    _require_unique(file.path.stem for file in files)
    return evolve(own_listing(known.dataset, files), classes=tuple(known.classes.values()), left_out=tuple(left_out))


def _require_unique(stems: Iterable[str]) -> None:
    for stem, times in Counter(stems).most_common(1):
        if times > 1:
            raise VimixError(f"{times} files are named {stem}: expected one file for each sample")
