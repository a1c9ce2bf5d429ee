"""Skeletons as pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout

SIDE = 96
"""Side of a picture in pixels."""
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44))


def stick_figures(joints: NDArray[np.float32], layout: SkeletonLayout) -> NDArray[np.uint8]:
    """Draw a sequence [T, V, M, 3] on white from the front: each person in a pane of one scale in all frames.

    Returns uint8 [T, 96, 96·N, 3] for the N persons that are seen in some frame, or blanks [T, 96, 96, 3].
    """
    seen = [person for person in np.moveaxis(joints, 2, 0) if person.any()]
    panes = [_person(person, layout, number) for number, person in enumerate(seen)]
    return np.concatenate(panes or [np.stack([_blank()] * len(joints))], axis=2)


def _person(joints: NDArray[np.float32], layout: SkeletonLayout, number: int) -> NDArray[np.uint8]:
    """A person [T, V, 3] in T panes; a frame without the person is blank."""
    plane = joints[..., :2] * (1, -1)  # rows of a picture count downwards
    present = joints.any(axis=(1, 2))
    low, high = plane[present].min(axis=(0, 1)), plane[present].max(axis=(0, 1))
    scale = 0.9 * SIDE / max(float((high - low).max()), 1e-6)
    pixels = np.rint((plane - (low + high) / 2) * scale + SIDE / 2).astype(int)
    panes = [_blank() for _ in joints]
    for frame in np.flatnonzero(present):
        ends = [tuple(map(int, place)) for place in pixels[frame]]
        for child, parent in layout.edges:
            cv2.line(panes[frame], ends[child], ends[parent], _COLOURS[number % 3], 2)
    return np.stack(panes)


def _blank() -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
