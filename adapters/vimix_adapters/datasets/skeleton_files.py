"""Folders of skeleton files, listed by the names of NTU RGB+D and MSRAction3D or by a CSV list."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.csv_list import listed_in
from vimix_adapters.datasets.listing import DatasetFile, Listing, name_below, own_listing
from vimix_adapters.datasets.ntu import OFFICIAL, class_names, missing_skeletons, parse_name, splits_of
from vimix_adapters.files import require_folder

ENDINGS = (".skeleton", ".txt")
_MSR_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_")
# fmt: off
_MSR_ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)
# fmt: on
MSR_CLASSES = tuple(f"a{number:02d} {action}" for number, action in enumerate(_MSR_ACTIONS, 1))
"""Classes of MSRAction3D (Li et al. 2010) in the order of their labels."""


def list_ntu(folder: Path, edition: int, missing: Path | None = None) -> Listing:
    """List the samples of NTU RGB+D 60 or 120 below ``folder``; 60 ignores those of the extension.

    The authors exclude samples with missing skeletons; ``missing`` is a list to use instead of theirs.
    Raises VimixError if the folder is missing or has no sample, or two files have one name.
    """
    incomplete, classes = missing_skeletons(missing), class_names(edition)
    files, excluded, left_out = [], [], []
    for path in _files_below(folder, (".skeleton",)):
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


def list_skeletons(folder: Path, split: Path | None = None) -> Listing:
    """List the skeleton files below ``folder``, sorted by name.

    ``split`` is a CSV file ``path,label,split[,source]``; its paths may be those of videos: a skeleton file is found by
    its name without folder and ending. Without it, the names say the class: those of NTU RGB+D (all its protocols are
    splits) or MSRAction3D's ``aAA_sSS_eEE_*.txt`` (odd subjects train, even ones test).
    Raises VimixError if there is no skeleton file, or two have one name.
    """
    paths = _files_below(folder, ENDINGS)
    if split is not None:
        return _listed(folder, paths, split)
    if any(_MSR_NAME.match(path.name) for path in paths):
        return _msr(folder, paths)
    samples = [name for path in paths if (name := parse_name(path.name))]
    if not samples:
        expected = "SsssCcccPpppRrrrAaaa.skeleton or aAA_sSS_eEE_*.txt"
        raise VimixError(f"{folder}: found no file named {expected}; with other names give --split FILE")
    return evolve(list_ntu(folder, max(name.edition for name in samples)), totals={}, official=False)


def _files_below(folder: Path, endings: Sequence[str]) -> list[Path]:
    require_folder(folder, "skeleton files below it")
    return [path for path in sorted(folder.rglob("*")) if path.suffix in endings]


def _require_unique(stems: Iterable[str]) -> None:
    for stem, times in Counter(stems).most_common(1):
        if times > 1:
            raise VimixError(f"{times} files are named {stem}: expected one file for each sample")


def _msr(folder: Path, paths: Sequence[Path]) -> Listing:
    files, left_out = [], []
    for path in paths:
        match, name = _MSR_NAME.match(path.name), name_below(path, folder)
        action, subject = (int(match[1]), int(match[2])) if match else (0, 0)
        if 1 <= action <= len(MSR_CLASSES):
            split = "train" if subject % 2 else "test"
            files.append(DatasetFile(path, name, MSR_CLASSES[action - 1], path.stem, (split,)))
        elif path.suffix == ".skeleton" or match:
            left_out.append((name, "its name is not aAA_sSS_eEE_*.txt with an action of 1 to 20"))
    _require_unique(file.path.stem for file in files)
    return evolve(own_listing("msraction3d", files), classes=MSR_CLASSES, left_out=tuple(left_out))


def _listed(folder: Path, paths: Sequence[Path], split: Path) -> Listing:
    rows = sorted(listed_in(split, folder, labels_needed=True), key=lambda row: row.name)
    if not rows:
        raise VimixError(f"{split}: expected a line path,label,split[,source] for each file, found none")
    _require_unique(Path(row.name).stem for row in rows)
    wanted = {Path(row.name).stem for row in rows}
    _require_unique(path.stem for path in paths if path.stem in wanted)
    by_stem = {path.stem: path for path in paths}
    files, missing = [], []
    for row in rows:
        path = by_stem.get(Path(row.name).stem)
        if path is None:
            missing.append(row.name)
        files.append(row if path is None else evolve(row, path=path, name=name_below(path, folder)))
    return own_listing("skeletons", files, missing)
