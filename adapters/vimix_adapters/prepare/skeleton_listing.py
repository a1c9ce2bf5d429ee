"""The recordings below a folder or in a file, with their classes and splits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import DatasetFile, Listing, name_below, noted, own_listing, source_of
from vimix_adapters.datasets.skeleton_files import by_list, by_names
from vimix_adapters.datasets.skeleton_labels import KINETICS_LABELS, by_kinetics_labels, by_segments
from vimix_adapters.skeletons.formats import ENDINGS, SEVERAL, samples_in
from vimix_adapters.skeletons.json_files import OPENPOSE
from vimix_adapters.skeletons.sequence import SequenceEntry


def list_skeletons(root: Path, split: Path | None = None, labels: Path | None = None, axes: str = "") -> Listing:
    """List the skeleton files below a folder, or the sequences of one file, sorted by name.

    Classes and splits come from the segments in ``labels``; else from the CSV list ``split``; else from the files
    themselves (pickles, arrays), Kinetics-skeleton's lists beside them, or the files' names. ``axes``: those of arrays
    that do not name theirs. Raises VimixError if there is no skeleton file, or nothing says the classes.
    """
    folder = root if root.is_dir() else root.parent
    lists, paths = _paths(root)
    found = _recordings(paths, folder)
    if not found:
        raise VimixError(f"{root}: expected skeleton files ({', '.join(ENDINGS)}), found {_kinds(root)}")
    if labels is not None:
        return by_segments(found, labels, split)
    found, unreadable, note = _opened(found, axes)
    if split is not None:
        listing = by_list(found, folder, split)
    elif lists:
        listing = by_kinetics_labels(found, lists)
    elif any(file.class_name is not None for file in found):
        listing = _by_themselves(found)
    elif not found:
        listing = own_listing("skeletons", ())
    else:
        listing = by_names(folder, found)
    return evolve(listing, left_out=(*listing.left_out, *unreadable), notes=(*listing.notes, *note))


def _paths(root: Path) -> tuple[list[Path], list[Path]]:
    """Return Kinetics-skeleton's lists of labels, and the other paths with the ending of a skeleton file."""
    if not root.exists():
        raise VimixError(f"{root}: no such folder or file; expected skeleton files below it")
    paths = [root] if not root.is_dir() else [path for path in sorted(root.rglob("*")) if _visible(path, root)]
    paths = [path for path in paths if path.suffix.lower() in ENDINGS]
    lists = [path for path in paths if KINETICS_LABELS.fullmatch(path.name)]
    return lists, [path for path in paths if path not in lists]


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _recordings(paths: Sequence[Path], folder: Path) -> list[DatasetFile]:
    """Return a file for each path; OpenPose's files of a recording, one a frame, are one."""
    files, recordings = [], {}
    for path in paths:
        if path.name.endswith(OPENPOSE):
            prefix = path.name.removesuffix(OPENPOSE).rpartition("_")[0]
            name = prefix if path.parent == folder else f"{name_below(path.parent, folder)}/{prefix}"
            recordings[name] = DatasetFile(path.parent, name, None, source_of(name), (), part=prefix)
        else:
            name = name_below(path, folder)
            files.append(DatasetFile(path, name, None, source_of(name), ()))
    return [*files, *recordings.values()]


def _kinds(root: Path) -> str:
    """Describe the files below a folder by their endings."""
    if not root.is_dir():
        return root.suffix or "a file without ending"
    counts = Counter(path.suffix or "no ending" for path in root.rglob("*") if path.is_file())
    return ", ".join(f"{number} × {ending}" for ending, number in counts.most_common(5)) or "no file"


def _opened(
    found: Sequence[DatasetFile], axes: str
) -> tuple[list[DatasetFile], list[tuple[str, str]], tuple[str, ...]]:
    """Replace each file of several sequences by these; also return the unreadable files, and a note."""
    several = [file for file in found if file.path.suffix.lower() in SEVERAL]
    files = [file for file in found if file.path.suffix.lower() not in SEVERAL]
    unreadable, without_split = [], []
    for file in several:
        try:
            samples = samples_in(file.path, axes)
        except VimixError as error:
            unreadable.append((file.name, str(error)))
            continue
        divided = any(sample.splits for sample in samples)
        for sample in samples:
            if divided and not sample.splits:
                without_split.append(sample.name)
            else:
                files.append(_of_sample(file, sample, len(several) > 1))
    files.sort(key=lambda file: file.name)
    return files, unreadable, noted("sequences are in no split of their file and were not used", without_split)


def _of_sample(file: DatasetFile, sample: SequenceEntry, several: bool) -> DatasetFile:
    """Return a sequence as a file; without splits of its own, the name of its file says its split."""
    splits = sample.splits
    if not splits:
        stem = file.path.stem.lower()
        splits = ("train",) if "train" in stem else ("test",) if "test" in stem or "val" in stem else ("all",)
    if not sample.name:
        return evolve(file, class_name=sample.label, splits=splits)
    name = f"{file.name}/{sample.name}" if several else sample.name
    return DatasetFile(file.path, name, sample.label, source_of(sample.name), splits, part=sample.name)


def _by_themselves(found: Sequence[DatasetFile]) -> Listing:
    """List files with labels of their own; numbers as labels are ordered as numbers."""
    listing = own_listing("skeletons", found, ())
    numbers = all(name.isdigit() for name in listing.classes)
    return evolve(listing, classes=tuple(sorted(listing.classes, key=int))) if numbers else listing
