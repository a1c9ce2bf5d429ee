"""Flow as images in a folder for each video, as other tools write it.

``denseflow`` (also mmaction2, TSN): ``flow_x_00001.jpg`` and ``flow_y_00001.jpg``, grey. ``coclr`` (also MemDPC):
``flow_00001.jpg``, three channels in OpenCV's order: the first is u, the second v, the third 128 (a reader of R, G, B
gets R = 128, G = v, B = u). Levels 0 to 255 are displacements from -bound to +bound in pixels of the image.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
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
"""Largest mean distance of CoCLR's third channel from 128: JPEG blurs colours."""


@frozen
class FlowImages:
    """Convention by which displacements were written as levels."""

    layout: str = field(validator=in_(tuple(LAYOUTS)))
    bound: float = field(default=20.0, validator=gt(0))
    """Displacement in pixels at which flow was clipped."""
    rounding: str = field(default="round", validator=in_(("round", "truncate")))
    """Rounding of displacements to levels. mmaction2 truncates: the half level lost on average is added again."""

    @property
    def about(self) -> str:
        """The convention as a sentence, for the settings of a store."""
        made = {"round": "rounded", "truncate": "truncated"}[self.rounding]
        return f"{self.layout} images, clipped to {self.bound:g} pixels of their own size, {made}"


def layout_of(folder: Path) -> str | None:
    """Return ``denseflow`` or ``coclr``, None for a folder without flow images."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for layout, patterns in LAYOUTS.items():
        if any(re.fullmatch(patterns[0], name) for name in names):
            return layout
    return None


def find_folder(root: Path, name: str) -> Path:
    """Find the folder with the flow of the video ``name`` (``Bow/clip.avi``). Raises VimixError if there is none.

    A store may come from a stranger: a name that leads out of ``root`` is refused.
    """
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise VimixError(f"the name {name!r} leads out of {root}: nothing is read there")
    stem = name.rsplit(".", 1)[0]
    folders = [root / folder for folder in dict.fromkeys((stem, name, Path(stem).name, Path(name).name))]
    for folder in folders:
        if layout_of(folder) is not None:
            return folder
    raise VimixError(f"no flow images in {folders[0]} (flow_x_*.jpg and flow_y_*.jpg, or flow_*.jpg)")


def image_size(folder: Path, images: FlowImages) -> tuple[int, int]:
    """Return (h, w) of the first image. Raises VimixError if it cannot be read."""
    height, width, _ = next(read_fields(folder, images)).shape
    return height, width


def count_fields(folder: Path, images: FlowImages) -> int:
    """Count the fields in the folder. Raises VimixError if one in between, or the other image of one, is missing."""
    return len(_files(folder, images.layout))


def read_fields(folder: Path, images: FlowImages) -> Iterator[Field]:
    """Yield fields (u, v) in pixels, float32 [H, W, 2], by number. Raises VimixError for an image that is damaged."""
    half_a_level = images.bound / 255 if images.rounding == "truncate" else 0.0
    for paths in _files(folder, images.layout):
        levels = _levels(paths)
        yield dequantise(levels, images.bound) + np.float32(half_a_level)


def _levels(paths: Sequence[Path]) -> NDArray[np.uint8]:
    if len(paths) == 2:
        x, y = (_image(path, cv2.IMREAD_GRAYSCALE) for path in paths)
        if x.shape != y.shape:
            raise VimixError(f"{paths[0].name} and {paths[1].name} differ in size")
        return np.stack([x, y], axis=-1)
    image = _image(paths[0], cv2.IMREAD_COLOR)
    if np.abs(image[..., 2].astype(np.float32) - 128).mean() > THIRD_CHANNEL:
        raise VimixError(
            f"{paths[0].name}: expected u, v and 128 in OpenCV's order of channels (blue, green, red), red is not 128"
        )
    return image[..., :2]


def _image(path: Path, how: int) -> NDArray[np.uint8]:
    image: Any = cv2.imread(str(path), how)
    if image is None:
        raise VimixError(f"{path.name} is not a readable image")
    return np.asarray(image, dtype=np.uint8)


def _files(folder: Path, layout: str) -> list[tuple[Path, ...]]:
    numbered: list[dict[int, Path]] = []
    paths = sorted(folder.iterdir())
    for pattern in LAYOUTS[layout]:
        matches = ((re.fullmatch(pattern, path.name), path) for path in paths)
        numbered.append({int(match[1]): path for match, path in matches if match})
    numbers = sorted(numbered[0])
    if any(sorted(other) != numbers for other in numbered):
        raise VimixError(f"{folder}: some flow_x images have no flow_y partner, or the other way round")
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise VimixError(f"{folder}: expected {layout} images numbered without gaps")
    return [tuple(part[number] for part in numbered) for number in numbers]
