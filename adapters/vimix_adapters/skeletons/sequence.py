"""Skeletons as they were recorded, before persons are chosen and coordinates change, and files of several."""

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError

Integers = NDArray[np.int64]
Array = NDArray[np.float64]

FARTHEST = 1e6
"""Bound of a coordinate. Larger values are not measurements in any unit."""


@frozen
class Expected:
    """Facts that a reader needs about the joints in a file."""

    joints: int
    """Number of joints V of the layout."""
    channels: tuple[str, ...] | None = None
    """``x y``, ``x y score`` or ``x y z``; None: as the file says."""
    axes: str = ""
    """Axes of arrays that do not name theirs, such as ``CTVM``."""


@frozen(eq=False)
class RawSequence:
    """The N bodies that a file has in all its frames together. Bodies of which no joint was found are left out."""

    frame: Integers
    """Frame of each body [N], ascending, from 0."""
    body: Integers
    """The tracker's number of each body [N]."""
    slot: Integers
    """Position of each body in its frame's list of bodies [N], from 0."""
    joints: Array
    """Coordinates [N, V, D], D = 2 or 3; NaN where the joint was not found."""
    scores: Array | None = None
    """Score of each joint [N, V] in [0, 1], 0 where it was not found; None if the file has no scores."""
    places: int = 1
    """Most bodies that the file has, or has places for, in a frame."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels of a store of such sequences: a score is stored beside x y only."""
        flat = self.joints.shape[-1] == 2
        return ("x", "y", *(["score"] if self.scores is not None else [])) if flat else ("x", "y", "z")


@frozen
class SequenceEntry:
    """One sequence of a file, with the class and splits that the file gives."""

    name: str
    """Unique in the file; empty if it has only one sequence."""
    label: str | None = None
    """Name or number of its class."""
    splits: tuple[str, ...] = ()


def raw_sequence(
    frame: Sequence[int] | Integers,
    body: Sequence[int] | Integers,
    slot: Sequence[int] | Integers,
    joints: Array,
    scores: Array | None = None,
) -> RawSequence:
    """Build a sequence without empty bodies from coordinates [N, V, D] and scores [N, V].

    A joint was not found if a coordinate is NaN, all are 0, or the score is 0. Raises VimixError if no joint is left,
    or a coordinate is too large.
    """
    if not len(joints):
        raise VimixError("no frame has a body")
    absent = np.isnan(joints).any(axis=2)
    if not (np.abs(joints[~absent]) < FARTHEST).all():
        raise VimixError("a coordinate is not a finite number below a million")
    zero = np.asarray(~absent & ~joints.any(axis=2))
    if scores is not None:
        scores = np.where(np.isnan(scores), 0.0, scores)
        absent |= scores <= 0
    absent |= _unless_origin(zero)
    joints, present = np.where(absent[..., None], np.nan, joints), ~absent.all(axis=1)
    if not present.any():
        raise VimixError("all coordinates are zero" if zero.all() else "no joint was found")
    frames, bodies, slots = (np.array(column, dtype=np.int64) for column in (frame, body, slot))
    rows = np.flatnonzero(present)[np.argsort(frames[present], kind="stable")]
    kept = None if scores is None else np.clip(np.where(absent, 0.0, scores), 0.0, 1.0)[rows]
    return RawSequence(frames[rows], bodies[rows], slots[rows], joints[rows], kept, int(slots.max()) + 1)


def sequence_of(bodies: Array, expected: Expected, scores: Array | None = None) -> RawSequence:
    """Build a sequence from places for M bodies in T frames: values [T, M, V, C] and, if apart, scores [T, M, V].

    Raises VimixError if these are not joints of the layout.
    """
    if bodies.shape[2] != expected.joints:
        raise VimixError(f"{bodies.shape[2]} joints, the layout has {expected.joints}")
    frames, places = bodies.shape[:2]
    joints, found = split_channels(bodies.reshape(-1, *bodies.shape[2:]), expected)
    if scores is not None:
        found = scores.reshape(len(joints), -1)
    slots = np.tile(np.arange(places), frames)
    return raw_sequence(np.repeat(np.arange(frames), places), slots, slots, joints, found)


def split_channels(values: Array, expected: Expected) -> tuple[Array, Array | None]:
    """Split numbers [..., C] that have no names into coordinates [..., 2 or 3] and scores [...].

    Two numbers are x y; three are what ``expected`` says. If it does not say, they are x y score if all third numbers
    are in [0, 1] and some first or second one is beyond 2, as in pixels; else x y z. Of more than three numbers, the
    first three are x y z and the others are not used. Raises VimixError for other numbers.
    """
    count = values.shape[-1]
    if count < 2:
        raise VimixError(f"{count} number for a joint: expected x y, x y score or x y z")
    third = values[..., 2:3]
    scored = bool(((third >= 0) & (third <= 1) | np.isnan(third)).all())
    if expected.channels is not None:
        flat = "z" not in expected.channels
    else:
        flat = scored and bool((np.abs(values[..., :2]) > 2).any())
    if count > 3 or not (flat or count == 2):
        return values[..., :3], None
    if count == 3 and not scored:
        raise VimixError("the third number of a joint is no score, which is from 0 to 1: give --channels x,y,z")
    return values[..., :2], values[..., 2] if count == 3 else None


def frames_between(raw: RawSequence, start: int, end: int) -> RawSequence:
    """Return the frames ``start`` to ``end`` (not included) of a sequence. Raises VimixError if they have no body."""
    rows = (raw.frame >= start) & (raw.frame < end)
    if not rows.any():
        raise VimixError(f"no body in the frames {start} to {end}: the recording ends at {int(raw.frame[-1]) + 1}")
    scores = None if raw.scores is None else raw.scores[rows]
    return RawSequence(raw.frame[rows] - start, raw.body[rows], raw.slot[rows], raw.joints[rows], scores, raw.places)


def _unless_origin(zero: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the zero joints [N, V] that were not found.

    If exactly one joint is zero in all bodies that are there, the recording was centred on it: it was found.
    """
    there = np.asarray(~zero.all(axis=1))
    always = np.asarray(zero[there].all(axis=0)) if there.any() else np.zeros(zero.shape[1], dtype=bool)
    return zero & ~(always & there[:, None]) if always.sum() == 1 else zero
