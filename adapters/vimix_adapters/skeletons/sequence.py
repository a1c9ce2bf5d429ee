"""Skeletons as they were recorded, before anything is chosen, moved or resized."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError

Integers = NDArray[np.int64]

FARTHEST = 1e6
"""Coordinates beyond are no measurements, in whatever unit."""


@frozen(eq=False)
class RawSequence:
    """What a file tells of N bodies in single frames; a body whose coordinates are all zero is not in it."""

    frame: Integers
    """[N], ascending, from 0."""
    body: Integers
    """[N] int64: the tracker's number."""
    slot: Integers
    """[N]: the place in the frame's list of bodies, from 0."""
    joints: NDArray[np.float64]
    """[N, V, 3]."""


def raw_sequence(frame: list[int], body: list[int], slot: list[int], joints: NDArray[np.float64]) -> RawSequence:
    """A sequence of the bodies that are there. Raises VimixError if there is none, or a number is no coordinate."""
    if not len(joints):
        raise VimixError("no frame has a body")
    if not (np.abs(joints) < FARTHEST).all():  # false for NaN too
        raise VimixError("a coordinate is not a finite number below a million")
    seen = joints.any(axis=(1, 2))
    if not seen.any():
        raise VimixError("all coordinates are zero")
    frames, bodies, slots = (np.array(column, dtype=np.int64)[seen] for column in (frame, body, slot))
    return RawSequence(frames, bodies, slots, joints[seen])
