"""Preprocessing of recorded bodies: persons are chosen, filled, centred, resized in time and turned to the front."""

import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.skeletons.bodies import chosen_persons
from vimix_adapters.skeletons.missing import filled, masked
from vimix_adapters.skeletons.sequence import RawSequence

Array = NDArray[np.float64]
CROSCLR_EPSILON = 1e-4
"""Added by CrosSCLR to the length of a body's shoulders before it divides."""


def preprocessed(
    raw: RawSequence,
    layout: SkeletonLayout,
    *,
    frames: int,
    persons: int,
    denoise: str,
    align: str,
    not_found: str = "fill",
) -> NDArray[np.float32]:
    """Return a sequence [frames, V, persons, C] float32. The order is CrosSCLR's: choose, centre, resize, align.

    Joints that were not found are filled in before; with ``not_found = "mask"`` they are NaN in the end.
    """
    bodies = chosen_persons(raw, persons, denoise)
    size = raw.joints.shape[-1]
    joints, scores = bodies[..., :size], bodies[..., size:]
    resized = resize(centred(filled(joints, layout), layout.centre), frames)
    aligned = resized if align == "none" else facing(resized, layout.shoulders, once=align == "crosclr")
    whole = np.concatenate([aligned, resize(scores, frames)], axis=-1)
    if not_found == "mask":
        absent = np.asarray(np.isnan(joints).any(axis=-1), dtype=np.float64)
        whole = masked(whole, resize(absent, frames))
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
