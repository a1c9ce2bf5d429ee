"""Skeletons as pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout

SIDE = 96
"""Side of a picture in pixels."""
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44))


def stick_figure(joints: NDArray[np.float32], layout: SkeletonLayout, down: bool = False) -> NDArray[np.uint8]:
    """Draw the persons of a frame [V, M, C] side by side on white, from the front; without their masked joints.

    ``down``: y counts downwards, as in pictures.
    Returns uint8 [96, 96·N, 3] for the N persons that are seen, or a blank [96, 96, 3] if there is none.
    """
    seen = [person for person in np.moveaxis(joints, 1, 0) if person.any()]
    panes = [_person(person[:, :2] * (1, 1 if down else -1), layout, number) for number, person in enumerate(seen)]
    return np.concatenate(panes or [_blank()], axis=1)


def _person(plane: NDArray[np.float32], layout: SkeletonLayout, number: int) -> NDArray[np.uint8]:
    pane, found = _blank(), np.asarray(~np.isnan(plane).any(axis=1))
    if not found.any():
        return pane
    low, high = plane[found].min(axis=0), plane[found].max(axis=0)
    scale = 0.9 * SIDE / max(float((high - low).max()), 1e-6)
    pixels = np.rint((np.nan_to_num(plane) - (low + high) / 2) * scale + SIDE / 2).astype(int)
    for child, parent in layout.edges:
        if found[child] and found[parent]:
            cv2.line(pane, tuple(map(int, pixels[child])), tuple(map(int, pixels[parent])), _COLOURS[number % 3], 2)
    return pane


def _blank() -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
