"""Turns stored pictures into those that a player shows: upright, with square pixels, and shrunk."""

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
STRETCH = 10
"""Largest ratio of the sides of a pixel; a file that declares more is wrong, and is shown as it is stored."""


@frozen
class Display:
    """The steps by which a player shows stored pictures: swap rows and columns, mirror in both directions, stretch."""

    swap: bool = False
    mirror: bool = False
    flip: bool = False
    aspect: Fraction = Fraction(1)
    """Width of a stored pixel divided by its height."""

    def shown(self, frame: Frame, short_side: int = 0) -> Frame:
        """Return the picture [H, W, 3] of a stored frame; its shorter side is at most ``short_side`` unless that is 0.

        Stretching and shrinking are one step, so that nothing is blurred twice.
        """
        height, width = frame.shape[:2]
        turned = frame.swapaxes(0, 1) if self.swap else frame
        turned = turned[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]
        stretched = max(1, round(width * self.aspect))
        size = (stretched, height) if self.swap else (height, stretched)
        factor = min(1.0, short_side / min(size)) if short_side else 1.0
        return _resized(turned, (max(1, round(size[0] * factor)), max(1, round(size[1] * factor))))


def display_of(frame: Any, aspect: Any) -> Display:
    """Read the display matrix of a PyAV frame; ``aspect`` is that of its pixels, None or 0/1 if unknown.

    The matrix a, b, u, c, d, v, ... takes (x, y) to (ax + cy, bx + dy), up to a shift.
    """
    pixel = Fraction(aspect.numerator, aspect.denominator) if aspect is not None else Fraction(0)
    pixel = pixel if 1 / STRETCH <= pixel <= STRETCH else Fraction(1)
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # side data of a type that this PyAV does not know
        data = None
    if data is None:
        return Display(aspect=pixel)
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), dtype=np.int32).tolist()
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    return Display(swap, mirror=(c if swap else a) < 0, flip=(b if swap else d) < 0, aspect=pixel)


def resized(frame: Frame, short_side: int) -> Frame:
    """Resize a frame [H, W, 3] so that its shorter side is ``short_side`` pixels; averages over areas to shrink."""
    height, width = frame.shape[:2]
    factor = short_side / min(height, width)
    return _resized(frame, (max(1, round(height * factor)), max(1, round(width * factor))))


def _resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """Resize to (height, width)."""
    if frame.shape[:2] == size:
        return np.ascontiguousarray(frame)
    shrinks = size[0] * size[1] < frame.shape[0] * frame.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(frame), size[::-1], interpolation=how), dtype=np.uint8)
