"""Positions for joints that were not found, so that none becomes an outlier."""

import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout

Array = NDArray[np.float64]
Booleans = NDArray[np.bool_]


def filled(bodies: Array, layout: SkeletonLayout) -> Array:
    """Replace the NaN in coordinates [T, M, V, D]; where nothing is missing, nothing changes.

    A joint is interpolated linearly between the frames in which it was found, and rests before the first and after the
    last of them. A joint that was never found lies where its nearest neighbour along the bones does.
    """
    missing = np.asarray(np.isnan(bodies).any(axis=-1))
    if not missing.any():
        return bodies
    result = bodies.copy()
    present = np.asarray(bodies.any(axis=(2, 3)))  # a person that is there has a joint; NaN counts as not zero
    near = _neighbours(layout)
    for person in range(bodies.shape[1]):
        frames = np.flatnonzero(present[:, person])
        if len(frames):
            result[frames, person] = _filled_track(bodies[frames, person], missing[frames, person], frames, near)
    return result


def masked(bodies: Array, missing: Array) -> Array:
    """Set the joints of [T, M, V, C] to NaN that are missing by more than half; ``missing`` is a share [T, M, V]."""
    return np.where((missing > 0.5)[..., None], np.nan, bodies)


def _filled_track(joints: Array, missing: Booleans, frames: NDArray[np.int64], near: list[list[int]]) -> Array:
    """Fill the joints [F, V, D] of one person, who is there in ``frames``."""
    result, found = joints.copy(), np.asarray(~missing.all(axis=0))
    for joint in np.flatnonzero(found & missing.any(axis=0)).tolist():
        gaps, known = missing[:, joint], ~missing[:, joint]
        for axis in range(joints.shape[2]):
            result[gaps, joint, axis] = np.interp(frames[gaps], frames[known], joints[known, joint, axis])
    for joint in np.flatnonzero(~found).tolist():
        result[:, joint] = result[:, next(other for other in near[joint] if found[other])]
    return result


def _neighbours(layout: SkeletonLayout) -> list[list[int]]:
    """Return for each joint all joints, the nearest along the bones first."""
    beside: list[list[int]] = [[] for _ in layout.joints]
    for child, parent in layout.edges:
        beside[child].append(parent)
        beside[parent].append(child)
    orders = []
    for joint in range(len(layout.joints)):
        order = [joint]
        for seen in order:  # breadth first: the list grows as it is read
            order += [other for other in beside[seen] if other not in order]
        orders.append(order)
    return orders
