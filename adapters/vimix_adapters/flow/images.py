"""Flow as images in a folder for each video, as other tools write it.

``denseflow`` (also mmaction2, TSN): ``flow_x_00001.jpg`` and ``flow_y_00001.jpg``, grey. ``coclr`` (also MemDPC):
``flow_00001.jpg``, three channels in OpenCV's order: the first is u, the second v, the third 128 (a reader of R, G, B
gets R = 128, G = v, B = u). ``folders``: grey images of u and v, by any numbered names, in two folders ``flow_x`` and
``flow_y``, ``u`` and ``v``, or ``x`` and ``y``, which lie in the folder of the video or contain it. Levels 0 to 255 are
displacements from -bound to +bound in pixels of the image.
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
from vimix_adapters.image_names import image_sequences

Field = NDArray[np.float32]
Folders = tuple[Path, ...]
"""The folder with the flow of a video, or the two folders with u and v."""
PATTERNS = {
    "denseflow": (r"flow_x_(\d+)\.(?:jpe?g|png)", r"flow_y_(\d+)\.(?:jpe?g|png)"),
    "coclr": (r"flow_(\d+)\.(?:jpe?g|png)",),
}
LAYOUTS = (*PATTERNS, "folders")
PAIRS = (("flow_x", "flow_y"), ("u", "v"), ("x", "y"))
"""Names of the two folders with u and v."""
THIRD_CHANNEL = 16.0
"""Largest mean distance of CoCLR's third channel from 128: JPEG blurs colours."""


@frozen
class FlowImages:
    """Convention by which displacements were written as levels."""

    layout: str = field(validator=in_(LAYOUTS))
    bound: float = field(default=20.0, validator=gt(0))
    """Displacement in pixels at which flow was clipped."""
    rounding: str = field(default="round", validator=in_(("round", "truncate")))
    """Rounding of displacements to levels. mmaction2 truncates: the half level lost on average is added again."""

    @property
    def about(self) -> str:
        """The convention as a sentence, for the settings of a store."""
        made = {"round": "rounded", "truncate": "truncated"}[self.rounding]
        return f"{self.layout} images, clipped to {self.bound:g} pixels of their own size, {made}"


def layout_of(folders: Folders) -> str | None:
    """Return the layout of the images in one folder or two, None if there is no flow."""
    names = [[path.name for path in folder.iterdir()] if folder.is_dir() else [] for folder in folders]
    if len(names) == 2:
        return "folders" if all(map(image_sequences, names)) else None
    for layout, patterns in PATTERNS.items():
        if any(re.fullmatch(patterns[0], name) for name in names[0]):
            return layout
    return None


def find_folders(root: Path, name: str) -> Folders:
    """Find the flow of the video ``name`` (``Bow/clip.avi``). Raises VimixError if there is none."""
    stem = name.rsplit(".", 1)[0]
    for folder in dict.fromkeys((stem, name, Path(stem).name, Path(name).name)):
        pairs = [(root / folder / x, root / folder / y) for x, y in PAIRS]
        pairs += [(root / x / folder, root / y / folder) for x, y in PAIRS]
        for folders in ((root / folder,), *pairs):
            if layout_of(folders) is not None:
                return folders
    raise VimixError(
        f"no flow images in {root / stem} (flow_x_*.jpg and flow_y_*.jpg, flow_*.jpg, or the folders u and v)"
    )


def image_size(folders: Folders, images: FlowImages) -> tuple[int, int]:
    """Return (h, w) of the first image. Raises VimixError if it cannot be read."""
    height, width, _ = next(read_fields(folders, images)).shape
    return height, width


def count_fields(folders: Folders, images: FlowImages) -> int:
    """Count the fields in the folder. Raises VimixError if one in between, or the other image of one, is missing."""
    return len(_files(folders, images.layout))


def read_fields(folders: Folders, images: FlowImages) -> Iterator[Field]:
    """Yield fields (u, v) in pixels, float32 [H, W, 2], by number. Raises VimixError for an image that is damaged."""
    half_a_level = images.bound / 255 if images.rounding == "truncate" else 0.0
    for paths in _files(folders, images.layout):
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


def _files(folders: Folders, layout: str) -> list[Folders]:
    """Return the images of each field, by number."""
    numbered = [_numbered(folder) for folder in folders] if layout == "folders" else _matching(folders[0], layout)
    numbers = sorted(numbered[0])
    if any(sorted(other) != numbers for other in numbered):
        raise VimixError(
            f"{folders[0]}: some images of u (flow_x) have no partner of v (flow_y), or the other way round"
        )
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise VimixError(f"{folders[0]}: expected {layout} images numbered without gaps")
    return [tuple(part[number] for part in numbered) for number in numbers]


def _matching(folder: Path, layout: str) -> list[dict[int, Path]]:
    paths = sorted(folder.iterdir())
    found = []
    for pattern in PATTERNS[layout]:
        matches = ((re.fullmatch(pattern, path.name), path) for path in paths)
        found.append({int(match[1]): path for match, path in matches if match})
    return found


def _numbered(folder: Path) -> dict[int, Path]:
    kinds = image_sequences(path.name for path in folder.iterdir())
    if len(kinds) != 1:
        raise VimixError(
            f"{folder}: expected one sequence of numbered images, found {', '.join(sorted(kinds)) or 'none'}"
        )
    return {number: folder / name for files in kinds.values() for number, name in files.items()}
