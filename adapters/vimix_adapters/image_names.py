"""Images in a folder, in the order of their numbers: frames of a video, or fields of flow."""

import re
from collections.abc import Iterable
from pathlib import Path

from vimix.values.errors import VimixError

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff"})
_NUMBERED = re.compile(r"(.*?)(\d+)(\.[A-Za-z]+)")
_PLACE = re.compile(r"%0?\d*d")
_FLOW = re.compile(r"(flow[_-]?)?[xyuv]?[_-]?|flow.*", re.IGNORECASE)


def is_pattern(name: str) -> bool:
    """Return whether a file name is a pattern such as ``img_%05d.jpg``."""
    return len(_PLACE.findall(name)) == 1 and Path(name).suffix.lower() in IMAGE_ENDINGS


def image_sequences(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """Group the names of numbered images: names by number, by what is before and after the number (``img_#.jpg``)."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match and match[3].lower() in IMAGE_ENDINGS and not name.startswith("."):
            found.setdefault(f"{match[1]}#{match[3]}", {})[int(match[2])] = name
    return found


def frame_names(names: Iterable[str], pattern: str = "") -> list[str]:
    """Return the images that are the frames of a video, in order; none if there are no images.

    ``pattern`` is ``img_%05d.jpg``. Without it, the numbered images are taken, those of flow (``flow_x_00001.jpg``)
    left out, or else all images sorted by name. Raises VimixError if there are two sequences, or one has gaps.
    """
    names = list(names)
    if pattern:
        before, after = (re.escape(part) for part in _PLACE.split(pattern))
        matches = [(match, name) for name in names if (match := re.fullmatch(f"{before}(\\d+){after}", name))]
        return _without_gaps({int(match[1]): name for match, name in matches})
    sequences = {kind: files for kind, files in image_sequences(names).items() if not _is_flow(kind)}
    if len(sequences) > 1:
        kinds = " and ".join(sorted(sequences)[:2])
        raise VimixError(
            f"images of {len(sequences)} kinds ({kinds}): name one in the list, such as FOLDER/img_%05d.jpg"
        )
    for numbered in sequences.values():
        return _without_gaps(numbered)
    return sorted(name for name in names if Path(name).suffix.lower() in IMAGE_ENDINGS and not name.startswith("."))


def _is_flow(kind: str) -> bool:
    before = kind.split("#")[0]
    return bool(before) and _FLOW.fullmatch(before) is not None


def _without_gaps(numbered: dict[int, str]) -> list[str]:
    numbers = sorted(numbered)
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    for number, expected in zip(numbers, range(numbers[0], numbers[-1] + 1, step) if numbers else (), strict=False):
        if number != expected:
            raise VimixError(f"image {expected} is missing between {numbered[numbers[0]]} and {numbered[numbers[-1]]}")
    return [numbered[number] for number in numbers]
