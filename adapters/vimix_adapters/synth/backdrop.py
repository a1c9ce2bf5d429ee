"""The background of the figure: a textured wall and floor, a few objects on the wall, and moving objects."""

from typing import Any

import cv2
import numpy as np
from attrs import frozen
from numpy.random import Generator
from numpy.typing import NDArray

from vimix_adapters.synth.body import Array
from vimix_adapters.synth.camera import CameraView
from vimix_adapters.synth.synth_settings import Variety

Picture = NDArray[np.uint8]
ZOOM = 2
"""Factor by which pictures are drawn larger, before they are averaged down for smooth edges."""
SHIFT = 4
"""Number of fractional bits in the coordinates for OpenCV's drawing functions."""
BORDER = 8
"""Margin of the still background beyond each edge for the camera's shake, in pixels."""


@frozen(eq=False)
class Passer:
    """A round object that moves behind the figure: ``path`` ``[T, 2]`` and half axes, in pixels."""

    path: Array
    axes: tuple[float, float]
    colour: tuple[float, ...]


@frozen(eq=False)
class Backdrop:
    """The still picture ``[ZOOM·(H + 2·BORDER), ZOOM·(W + 2·BORDER), 3]`` and the objects that move in front of it."""

    still: Picture
    passers: tuple[Passer, ...]

    def frame(self, view: CameraView, time: int) -> Picture:
        """Draw the background of one frame, ``[ZOOM·H, ZOOM·W, 3]``."""
        right, down = ZOOM * (view.shake[time] - BORDER)
        matrix = np.array([[1, 0, right], [0, 1, down]])
        canvas: Any = cv2.warpAffine(self.still, matrix, (ZOOM * view.width, ZOOM * view.height))
        for passer in self.passers:
            centre = fixed(passer.path[time] + view.shake[time]).tolist()
            axes = tuple(int(ZOOM * half * (1 << SHIFT)) for half in passer.axes)
            cv2.ellipse(canvas, centre, axes, 0, 0, 360, passer.colour, -1, cv2.LINE_AA, SHIFT)
        result: Picture = canvas
        return result


def fixed(pixels: Array) -> NDArray[np.int32]:
    """Convert positions in the final picture ``[..., 2]`` to OpenCV's fixed-point positions on the canvas.

    In both (0, 0) is the centre of the first pixel.
    """
    return np.rint((ZOOM * (pixels + 0.5) - 0.5) * (1 << SHIFT)).astype(np.int32)


def backdrop(view: CameraView, variety: Variety, room: Generator, rng: Generator) -> Backdrop:
    """Draw a random background for this view. The floor begins slightly above the feet.

    ``room`` generates what all videos of a room share: the textures and the objects on the wall.
    """
    width, height = view.width + 2 * BORDER, view.height + 2 * BORDER
    wall, floor = (_texture(width, height, variety, room) for _ in range(2))
    _furnish(wall, variety, room)
    feet = float(view.pixels[..., 1].max()) + BORDER
    edge = int(np.clip(feet - rng.uniform(0.05, 0.25) * view.height, 0.3 * height, height - 1))
    wall[ZOOM * edge :] = floor[ZOOM * edge :]
    passers = tuple(_passer(view, rng) for _ in range(int(rng.integers(variety.bystanders + 1))))
    return Backdrop(wall, passers)


def _texture(width: int, height: int, variety: Variety, rng: Generator) -> Picture:
    """Draw coloured noise of four grain sizes, the finest about two pixels, with a random tint and strength."""
    size = (ZOOM * width, ZOOM * height)
    tint = rng.uniform(*variety.wall) + rng.uniform(-variety.tint, variety.tint, 3)
    picture = np.tile(tint, (size[1], size[0], 1)).astype(np.float32)
    grain, strength = rng.uniform(1.5, 3.0), rng.uniform(*variety.grain)
    for octave in range(4):
        cell = grain * 2.2**octave
        grid = rng.normal(size=(int(height / cell) + 2, int(width / cell) + 2, 3)).astype(np.float32)
        grid = 0.7 * grid[..., :1] + 0.3 * grid  # mostly brightness, little colour
        picture += strength * cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _furnish(wall: Picture, variety: Variety, rng: Generator) -> None:
    """Draw up to five plain rectangles on the wall, in place."""
    height, width = wall.shape[:2]
    for _ in range(int(rng.integers(6))):
        corner = rng.uniform(0, 1, 2) * (width, height)
        extent = rng.uniform(0.06, 0.3, 2) * height
        first, second = (tuple(np.rint(c).astype(int).tolist()) for c in (corner, corner + extent))
        colour = rng.uniform(*variety.wall) * rng.uniform(0.8, 1.2, 3)
        cv2.rectangle(wall, first, second, colour.tolist(), -1, cv2.LINE_AA)


def _passer(view: CameraView, rng: Generator) -> Passer:
    """Draw an object of 8 to 24 % of the height on a random path that oscillates."""
    times = np.arange(len(view.points)) / len(view.points)
    size = np.array([view.width, view.height], float)
    turns = rng.uniform(0.3, 2.5, 2) * times[:, None] + rng.uniform(size=2)
    path = size * (rng.uniform(0.1, 0.9, 2) + rng.uniform(0.05, 0.3, 2) * np.sin(2 * np.pi * turns))
    first, second = (rng.uniform(0.04, 0.12, 2) * view.height).tolist()
    return Passer(path, (first, second), tuple(rng.uniform(20, 235, 3).tolist()))
