"""A flow estimator for pictures whose motion is one shift, and textures that move in known ways."""

import cv2
import numpy as np
from numpy.typing import NDArray


class FakeFlow:
    """Implements ``vimix_adapters.flow.fields.FlowEstimator``: the best of all shifts up to 4 pixels, in halves."""

    def __call__(self, earlier: NDArray[np.uint8], later: NDArray[np.uint8]) -> NDArray[np.float32]:
        shifts = [(u / 2, v / 2) for u in range(-8, 9) for v in range(-8, 9)]
        best = min(shifts, key=lambda shift: self._misfit(earlier.astype(np.float32), later.astype(np.float32), shift))
        return np.broadcast_to(np.array(best, np.float32), (*earlier.shape, 2)).copy()

    def _misfit(self, earlier, later, shift) -> float:
        height, width = earlier.shape
        moved = cv2.warpAffine(later, np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]]), (width, height))
        return float(np.abs(moved - earlier)[5:-5, 5:-5].mean())


def moving_texture(
    size: tuple[int, int], matrix: NDArray[np.float64], shift: tuple[float, float], seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Two grey pictures [H, W] and the true motion [H, W, 2] between them.

    The point p of the first (from its centre) is at ``matrix @ p + shift`` in the second.
    """
    height, width = size
    margin = 40
    noise = np.random.default_rng(seed).random((height + 2 * margin, width + 2 * margin)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    places = np.stack([x, y], axis=-1) - centre
    origins = (places - np.array(shift)) @ np.linalg.inv(matrix).T

    def picture(points: NDArray[np.float64]) -> NDArray[np.uint8]:
        at = (points + centre + margin).astype(np.float32)
        seen = cv2.remap(texture, at[..., 0], at[..., 1], cv2.INTER_CUBIC)
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8)

    return picture(places), picture(origins), places @ matrix.T + np.array(shift) - places


def turn(degrees: float, zoom: float = 1.0) -> NDArray[np.float64]:
    """Rotation (positive: clockwise on the screen) times a zoom."""
    angle = np.deg2rad(degrees)
    return zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
