"""Flow as a store holds it: estimated, resized, clipped, quantised; and drawn in colours."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Field = NDArray[np.float32]
FlowEstimator = Callable[[Frames, Frames], Field]
"""Estimates displacements (u, v) in pixels, float32 [H, W, 2], from an earlier and a later grey frame, uint8 [H, W].

The point at (x, y) of the earlier frame is at (x + u, y + v) in the later one.
"""


@runtime_checkable
class BatchFlowEstimator(Protocol):
    """Estimates the motion in many pairs of frames at once."""

    def batch(self, earlier: Frames, later: Frames) -> Field:
        """Estimate fields float32 [N, H, W, 2] from pairs of grey frames uint8 [N, H, W]: those of each pair alone."""
        ...


class FlowOfPieces:
    """Quantised flow between neighbouring frames of a video that come in pieces.

    Flow is computed with ``short_side`` pixels, or those of smaller frames, then resized to ``size`` (h, w) and scaled.
    ``bound`` is the displacement in pixels of ``size`` at which it is clipped.
    """

    def __init__(self, estimator: FlowEstimator, short_side: int, size: tuple[int, int], bound: float) -> None:
        self._estimator, self._short_side, self._size, self._bound = estimator, short_side, size, bound
        self._before: list[Frames] = []
        self._last = quantise(np.zeros((1, *size, 2), dtype=np.float32), bound)

    def add(self, frames: Frames) -> Frames:
        """Return the fields uint8 [N, h, w, 2] between the last frame and those of a piece, uint8 [T, H, W, 3].

        N is T, or T - 1 for the first piece.
        """
        grey = self._before + [_shrunk(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), self._short_side) for frame in frames]
        coded = [quantise(resized(field, self._size), self._bound) for field in _estimated(grey, self._estimator)]
        self._before = grey[-1:]
        fields = np.stack(coded) if coded else self._last[:0]
        self._last = fields[-1:] if coded else self._last
        return fields

    def end(self) -> Frames:
        """Return the last field once more, [1, h, w, 2]: flow has as many fields as the video has frames."""
        return self._last


def flow_fields(
    frames: Frames, estimator: FlowEstimator, short_side: int, size: tuple[int, int], bound: float
) -> Frames:
    """Compute the quantised flow uint8 [T, h, w, 2] of a whole video, uint8 [T, H, W, 3], as ``FlowOfPieces`` does."""
    flow = FlowOfPieces(estimator, short_side, size, bound)
    return np.concatenate([flow.add(frames), flow.end()])


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


def full_speed(fields: Field) -> float:
    """Return the speed that is drawn at full brightness by default, in pixels a frame.

    It is the 99th percentile of the speeds of vectors [..., 2], at least 1.
    """
    return max(1.0, float(np.percentile(np.linalg.norm(fields, axis=-1), 99.0)))


def flow_colours(fields: Field, full: float) -> Frames:
    """Draw fields float32 [T, H, W, 2] in R, G, B: uint8 [T, H, W, 3].

    Hue is the direction on the screen: right red, down yellow-green, left cyan, up violet (HSV's angle, clockwise).
    Brightness is the speed: black is no motion, ``full`` pixels a frame and more are full brightness.
    """
    angle = np.mod(np.arctan2(fields[..., 1], fields[..., 0]) / (2 * np.pi), 1.0)
    speed = np.clip(np.linalg.norm(fields, axis=-1) / full, 0, 1)
    wheel = np.stack([np.rint(angle * 256) % 256, np.full_like(angle, 255), np.rint(speed * 255)], axis=-1)
    return np.stack([cv2.cvtColor(picture, cv2.COLOR_HSV2RGB_FULL) for picture in wheel.astype(np.uint8)])


def _shrunk(frame: Frames, short_side: int) -> Frames:
    height, width = frame.shape[:2]
    factor = short_side / min(height, width)
    if factor >= 1:
        return frame
    small: Any = cv2.resize(frame, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
