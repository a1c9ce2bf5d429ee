"""Skeletons as they were recorded, before persons are chosen and coordinates change."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError

Integers = NDArray[np.int64]

FARTHEST = 1e6
"""Bound of a coordinate. Larger values are not measurements in any unit."""


@frozen(eq=False)
class RawSequence:
    """The N bodies that a file has in all its frames together. Bodies whose coordinates are all zero are left out."""

    frame: Integers
    """Frame of each body [N], ascending, from 0."""
    body: Integers
    """The tracker's number of each body [N]."""
    slot: Integers
    """Position of each body in its frame's list of bodies [N], from 0."""
    joints: NDArray[np.float64]
    """Coordinates [N, V, 3]."""


def raw_sequence(frame: list[int], body: list[int], slot: list[int], joints: NDArray[np.float64]) -> RawSequence:
    """Build a sequence without empty bodies. Raises VimixError if none is left or a coordinate is not valid."""
    if not len(joints):
        raise VimixError("no frame has a body")
    if not (np.abs(joints) < FARTHEST).all():  # false for NaN too
        raise VimixError("a coordinate is not a finite number below a million")
    seen = joints.any(axis=(1, 2))
    if not seen.any():
        raise VimixError("all coordinates are zero")
    frames, bodies, slots = (np.array(column, dtype=np.int64)[seen] for column in (frame, body, slot))
    return RawSequence(frames, bodies, slots, joints[seen])
