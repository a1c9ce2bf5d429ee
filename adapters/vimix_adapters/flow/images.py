"""Flow that was computed before and lies in a folder of pictures a video, as other tools write it.

``denseflow`` (also mmaction2, TSN): ``flow_x_00001.jpg`` and ``flow_y_00001.jpg``, grey. ``coclr`` (also MemDPC):
``flow_00001.jpg``, three channels in OpenCV's order: the first is u, the second v, the third 128 (so that a reader of
R, G, B finds R = 128, G = v, B = u). Levels 0 to 255 stand for -bound to +bound pixels of the pictures' own size.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from attrs import field, frozen
from attrs.validators import gt, in_
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.flow.fields import dequantise

Field = NDArray[np.float32]
LAYOUTS = {
    "denseflow": (r"flow_x_(\d+)\.(?:jpe?g|png)", r"flow_y_(\d+)\.(?:jpe?g|png)"),
    "coclr": (r"flow_(\d+)\.(?:jpe?g|png)",),
}
THIRD_CHANNEL = 16.0
"""Mean distance from 128 that CoCLR's third channel may have: JPEG blurs colours."""


@frozen
class FlowImages:
    """How the levels came about."""

    layout: str = field(validator=in_(tuple(LAYOUTS)))
    bound: float = field(default=20.0, validator=gt(0))
    """Pixels at which flow was clipped."""
    rounding: str = field(default="round", validator=in_(("round", "truncate")))
    """mmaction2 truncates: on average half a level is missing, and is given back."""

    @property
    def about(self) -> str:
        """For the record of a store."""
        made = {"round": "rounded", "truncate": "truncated"}[self.rounding]
        return f"{self.layout} images, clipped to {self.bound:g} pixels of their own size, {made}"


def layout_of(folder: Path) -> str | None:
    """``denseflow``, ``coclr``, or None where a folder holds no flow."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for layout, patterns in LAYOUTS.items():
        if any(re.fullmatch(patterns[0], name) for name in names):
            return layout
    return None


def find_folder(root: Path, name: str) -> Path:
    """The folder with the flow of the video ``name`` (such as ``Bow/clip.avi``). Raises VimixError if there is none."""
    stem = name.rsplit(".", 1)[0]
    places = [root / place for place in dict.fromkeys((stem, name, Path(stem).name, Path(name).name))]
    for place in places:
        if layout_of(place) is not None:
            return place
    raise VimixError(f"no flow pictures in {places[0]} (flow_x_*.jpg and flow_y_*.jpg, or flow_*.jpg)")


def picture_size(folder: Path, images: FlowImages) -> tuple[int, int]:
    """(h, w) of the first picture."""
    height, width, _ = next(read_fields(folder, images)).shape
    return height, width


def count_fields(folder: Path, images: FlowImages) -> int:
    """Number of fields in the folder. Raises VimixError if some are missing in between or have no partner."""
    return len(_files(folder, images.layout))


def read_fields(folder: Path, images: FlowImages) -> Iterator[Field]:
    """(u, v) in pixels, float32 [H, W, 2], in the order of the numbers. Raises VimixError for damaged pictures."""
    half_a_level = images.bound / 255 if images.rounding == "truncate" else 0.0
    for paths in _files(folder, images.layout):
        levels = _levels(paths)
        yield dequantise(levels, images.bound) + np.float32(half_a_level)


def _levels(paths: Sequence[Path]) -> NDArray[np.uint8]:
    if len(paths) == 2:
        x, y = (_picture(path, cv2.IMREAD_GRAYSCALE) for path in paths)
        if x.shape != y.shape:
            raise VimixError(f"{paths[0].name} and {paths[1].name} are of different sizes")
        return np.stack([x, y], axis=-1)
    picture = _picture(paths[0], cv2.IMREAD_COLOR)
    if np.abs(picture[..., 2].astype(np.float32) - 128).mean() > THIRD_CHANNEL:
        raise VimixError(
            f"{paths[0].name}: expected u, v and 128 in OpenCV's order of channels (blue, green, red), red is not 128"
        )
    return picture[..., :2]


def _picture(path: Path, how: int) -> NDArray[np.uint8]:
    picture: Any = cv2.imread(str(path), how)
    if picture is None:
        raise VimixError(f"{path.name} is not a readable picture")
    return np.asarray(picture, dtype=np.uint8)


def _files(folder: Path, layout: str) -> list[tuple[Path, ...]]:
    numbered: list[dict[int, Path]] = []
    names = sorted(folder.iterdir())
    for pattern in LAYOUTS[layout]:
        found = ((re.fullmatch(pattern, path.name), path) for path in names)
        numbered.append({int(match[1]): path for match, path in found if match})
    numbers = sorted(numbered[0])
    if any(sorted(other) != numbers for other in numbered):
        raise VimixError(f"{folder}: some flow_x pictures have no flow_y partner, or the other way round")
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise VimixError(f"{folder}: expected {layout} pictures numbered without gaps")
    return [tuple(part[number] for part in numbered) for number in numbers]
