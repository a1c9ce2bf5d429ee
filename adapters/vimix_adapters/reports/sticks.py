"""Skeletons as pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout

SIDE = 96
"""Side of a picture in pixels."""
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44))


def stick_figures(joints: NDArray[np.float32], layout: SkeletonLayout, down: bool = False) -> NDArray[np.uint8]:
    """Draw a sequence [T, V, M, C] on white from the front: each person in a pane of one scale in all frames.

    Masked joints (NaN) are left out; ``down``: y counts downwards, as in pictures. Returns uint8 [T, 96, 96·N, 3] for
    the N persons that are seen in some frame, or blanks [T, 96, 96, 3].
    """
    seen = [person for person in np.moveaxis(joints, 2, 0) if person.any()]
    panes = [_person(person[..., :2] * (1, 1 if down else -1), layout, number) for number, person in enumerate(seen)]
    return np.concatenate(panes or [np.stack([_blank()] * len(joints))], axis=2)


def _person(plane: NDArray[np.float32], layout: SkeletonLayout, number: int) -> NDArray[np.uint8]:
    """A person [T, V, 2] in T panes; a frame without the person is blank."""
    panes, found = [_blank() for _ in plane], np.asarray(~np.isnan(plane).any(axis=2))
    present = found.any(axis=1) & np.nan_to_num(plane).any(axis=(1, 2))
    if not present.any():
        return np.stack(panes)
    low, high = np.nanmin(plane[present], axis=(0, 1)), np.nanmax(plane[present], axis=(0, 1))
    scale = 0.9 * SIDE / max(float((high - low).max()), 1e-6)
    pixels = np.rint((np.nan_to_num(plane) - (low + high) / 2) * scale + SIDE / 2).astype(int)
    for frame in np.flatnonzero(present):
        ends = [tuple(map(int, place)) for place in pixels[frame]]
        for child, parent in layout.edges:
            if found[frame, child] and found[frame, parent]:
                cv2.line(panes[frame], ends[child], ends[parent], _COLOURS[number % 3], 2)
    return np.stack(panes)


def _blank() -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
