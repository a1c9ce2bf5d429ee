"""Skeleton files as a store holds them: persons are chosen, filled, centred, resized and turned to the front."""

from pathlib import Path

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.skeletons.bodies import chosen_persons
from vimix_adapters.skeletons.formats import read_skeletons
from vimix_adapters.skeletons.sequence import Array, Expected, RawSequence

CROSCLR_EPSILON = 1e-4
"""Added by CrosSCLR to the length of a body's shoulders before it divides."""


def pack_file(path: Path, how: SkeletonSettings, part: str = "") -> tuple[NDArray[np.float32], int]:
    """Read and preprocess a file, or a part of it: joints [T, V, M, C] as stored, and the number of recorded frames.

    Raises VimixError with the reason if it cannot be read.
    """
    raw = read_skeletons(path, Expected(len(how.layout.joints), how.channels, how.axes), part)
    if raw.joints.shape[2] < how.dimensions or (how.score and raw.scores is None):
        raise VimixError(
            f"it has {' '.join(raw.channels)}, the store {' '.join(how.channels)}: make a store of its own "
            "from it, or name channels that all files have with --channels"
        )
    named = evolve(raw, joints=raw.joints[..., : how.dimensions], scores=raw.scores if how.score else None)
    return preprocessed(named, how), int(raw.frame[-1]) + 1


def preprocessed(raw: RawSequence, how: SkeletonSettings) -> NDArray[np.float32]:
    """Return a sequence [frames, V, persons, C] float32. The order is CrosSCLR's: choose, centre, resize, align.

    Joints that were not found are filled in before; with ``not_found = "mask"`` they are NaN in the end.
    """
    bodies = chosen_persons(raw, how.persons, how.denoise)
    size = raw.joints.shape[-1]
    joints, scores = bodies[..., :size], bodies[..., size:]
    resized = resize(centred(filled(joints, how.layout), how.layout.centre), how.frames)
    aligned = resized if how.align == "none" else facing(resized, how.layout.shoulders, once=how.align == "crosclr")
    whole = np.concatenate([aligned, resize(scores, how.frames)], axis=-1)
    if how.not_found == "mask":
        absent = np.asarray(np.isnan(joints).any(axis=-1), dtype=np.float64)
        mostly_absent = resize(absent, how.frames) > 0.5
        whole = np.where(mostly_absent[..., None], np.nan, whole)
    return np.ascontiguousarray(whole.transpose(0, 2, 1, 3), dtype=np.float32)


def centred(bodies: Array, centre: int) -> Array:
    """Subtract the joint ``centre`` of each frame and body from [T, M, V, D]. An absent (zero) body stays zero."""
    return bodies - bodies[:, :, centre : centre + 1]


def resize(bodies: Array, frames: int) -> Array:
    """Resize [T, ...] to [frames, ...], linearly between frame centres as ``cv2.resize`` does (INTER_LINEAR)."""
    length = len(bodies)
    positions = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    before = np.floor(positions).astype(np.int64)
    after = np.minimum(before + 1, length - 1)
    share = (positions - before).reshape(-1, *[1] * (bodies.ndim - 1))
    mixed: Array = (1 - share) * bodies[before] + share * bodies[after]
    return mixed


def facing(bodies: Array, shoulders: tuple[int, int], once: bool = False) -> Array:
    """Turn each frame and body of [T, M, V, 3] about the vertical (y) until the right shoulder lies at +x of the left.

    Only the horizontal direction counts. A body is unchanged if its shoulders are above each other or it is zero.
    ``once`` does as CrosSCLR's code: each frame is turned by the angle between its shoulders and x, but the sum of the
    shoulders' z decides one direction of turning for all frames of a body. (If z changes its sign within a body, some
    of its frames are not turned to the front.)
    """
    left, right = shoulders
    across = (bodies[:, :, right] - bodies[:, :, left])[..., [0, 2]]
    length = np.hypot(across[..., 0], across[..., 1])
    if once:
        cosine = across[..., 0] / (length + CROSCLR_EPSILON)
        sine = np.sqrt(1 - cosine**2) * np.where(across[..., 1].sum(axis=0) >= 0, 1.0, -1.0)
    else:
        safe = np.where(length > 1e-6, length, 1.0)
        cosine = np.where(length > 1e-6, across[..., 0] / safe, 1.0)
        sine = np.where(length > 1e-6, across[..., 1] / safe, 0.0)
    cosine, sine = cosine[..., None], sine[..., None]
    x, y, z = bodies[..., 0], bodies[..., 1], bodies[..., 2]
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=-1)


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


def _filled_track(joints: Array, missing: NDArray[np.bool_], frames: NDArray[np.int64], near: list[list[int]]) -> Array:
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
