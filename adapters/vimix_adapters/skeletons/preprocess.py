"""From recorded bodies to what a store holds: persons around their centre, resized in time, turned to the front."""

import numpy as np
from numpy.typing import NDArray

from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.skeletons.bodies import chosen_persons
from vimix_adapters.skeletons.sequence import RawSequence

Array = NDArray[np.float64]


def preprocessed(
    raw: RawSequence, layout: SkeletonLayout, *, frames: int, persons: int, denoise: str, align: str
) -> NDArray[np.float32]:
    """[frames, V, persons, 3] float32, in CrosSCLR's order: choose, centre, resize, align."""
    bodies = chosen_persons(raw, persons, denoise)
    resized = resize(centred(bodies, layout.centre), frames)
    aligned = facing(resized, layout.shoulders) if align == "shoulders" else resized
    return np.ascontiguousarray(aligned.transpose(0, 2, 1, 3), dtype=np.float32)


def centred(bodies: Array, centre: int) -> Array:
    """[T, M, V, 3] relative to the joint ``centre``, in each frame and body; a body of zeros stays one."""
    return bodies - bodies[:, :, centre : centre + 1]


def resize(bodies: Array, frames: int) -> Array:
    """[frames, ...] from [T, ...], linearly between frame centres as ``cv2.resize`` does (INTER_LINEAR)."""
    length = len(bodies)
    places = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, length - 1)
    share = (places - before).reshape(-1, *[1] * (bodies.ndim - 1))
    mixed: Array = (1 - share) * bodies[before] + share * bodies[after]
    return mixed


def facing(bodies: Array, shoulders: tuple[int, int]) -> Array:
    """[T, M, V, 3] turned about the vertical (y), each frame and body by itself: right shoulder towards +x of the left.

    Height is no part of the direction. Bodies whose shoulders are above each other, or of zeros, stay as they are.
    """
    left, right = shoulders
    across = (bodies[:, :, right] - bodies[:, :, left])[..., [0, 2]]
    length = np.hypot(across[..., 0], across[..., 1])
    safe = np.where(length > 1e-6, length, 1.0)
    cosine = np.where(length > 1e-6, across[..., 0] / safe, 1.0)[..., None]
    sine = np.where(length > 1e-6, across[..., 1] / safe, 0.0)[..., None]
    x, y, z = bodies[..., 0], bodies[..., 1], bodies[..., 2]
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=-1)
