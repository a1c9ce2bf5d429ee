"""Skeletons as pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout

SIDE = 96
"""Side of a picture in pixels."""
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44))


def stick_figure(joints: NDArray[np.float32], layout: SkeletonLayout) -> NDArray[np.uint8]:
    """Draw the persons of a frame [V, M, 3] side by side on white, from the front.

    Returns uint8 [96, 96·N, 3] for the N persons that are seen, or a blank [96, 96, 3] if there is none.
    """
    seen = [person for person in np.moveaxis(joints, 1, 0) if person.any()]
    panes = [_person(person, layout, number) for number, person in enumerate(seen)]
    return np.concatenate(panes or [_blank()], axis=1)


def _person(joints: NDArray[np.float32], layout: SkeletonLayout, number: int) -> NDArray[np.uint8]:
    pane, plane = _blank(), joints[:, :2] * (1, -1)  # rows of a picture count downwards
    low, high = plane.min(axis=0), plane.max(axis=0)
    scale = 0.9 * SIDE / max(float((high - low).max()), 1e-6)
    pixels = np.rint((plane - (low + high) / 2) * scale + SIDE / 2).astype(int)
    for child, parent in layout.edges:
        cv2.line(pane, tuple(map(int, pixels[child])), tuple(map(int, pixels[parent])), _COLOURS[number % 3], 2)
    return pane


def _blank() -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
