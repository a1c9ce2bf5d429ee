"""From frames to stored flow: estimate, resize, clip, quantise."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vimix_adapters.flow.estimator import BatchFlowEstimator, FlowEstimator

Frames = NDArray[np.uint8]
Field = NDArray[np.float32]


def flow_fields(
    frames: Frames, estimator: FlowEstimator, short_side: int, size: tuple[int, int], bound: float
) -> Frames:
    """Compute quantised flow uint8 [T, h, w, 2] from frames uint8 [T, H, W, 3]; the last frame repeats the last field.

    Flow is computed with ``short_side`` pixels, or those of smaller frames, then resized to ``size`` (h, w) and scaled.
    ``bound`` is the displacement in pixels of ``size`` at which it is clipped.
    """
    grey = [_shrunk(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), short_side) for frame in frames]
    coded = [quantise(resized(field, size), bound) for field in _estimated(grey, estimator)]
    if not coded:
        coded = [quantise(np.zeros((*size, 2), dtype=np.float32), bound)]
    return np.stack(coded + coded[-1:] * (len(frames) - len(coded)))


def _estimated(grey: Sequence[Frames], estimator: FlowEstimator) -> Iterable[Field]:
    if isinstance(estimator, BatchFlowEstimator) and len(grey) > 1:
        frames = np.stack(grey)
        return list(estimator.batch(frames[:-1], frames[1:]))
    return (estimator(a, b) for a, b in itertools.pairwise(grey))


def resized(field: Field, size: tuple[int, int]) -> Field:
    """Resize a field float32 [H, W, 2] to ``size`` (h, w): a displacement of 1 becomes w/W or h/H."""
    height, width = size
    factors = np.array([width / field.shape[1], height / field.shape[0]], dtype=np.float32)
    scaled: Field = cv2.resize(field, (width, height), interpolation=cv2.INTER_AREA) * factors
    return scaled


def quantise(field: Field, bound: float) -> Frames:
    """Clip to ±bound pixels, then round (f + bound)·255/(2·bound) to uint8 (Carreira & Zisserman; rounded as CoCLR)."""
    coded: Frames = np.rint((np.clip(field, -bound, bound) + bound) * (255 / (2 * bound))).astype(np.uint8)
    return coded


def dequantise(coded: Frames, bound: float) -> Field:
    """Return displacements in pixels, float32, which differ by at most bound/255 from those that were quantised."""
    field: Field = coded.astype(np.float32) * np.float32(2 * bound / 255) - np.float32(bound)
    return field


def _shrunk(frame: Frames, short_side: int) -> Frames:
    height, width = frame.shape[:2]
    factor = short_side / min(height, width)
    if factor >= 1:
        return frame
    small: Any = cv2.resize(frame, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
