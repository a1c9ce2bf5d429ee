"""Flow drawn in colours: direction as hue, speed as brightness."""

import cv2
import numpy as np
from numpy.typing import NDArray

PERCENTILE = 99.0
"""Percentile of the speeds in a video that is drawn at full brightness by default."""


def full_speed(fields: NDArray[np.float32]) -> float:
    """Return the 99th percentile of the speeds of vectors [..., 2], in pixels a frame, at least 1."""
    return max(1.0, float(np.percentile(np.linalg.norm(fields, axis=-1), PERCENTILE)))


def flow_colours(fields: NDArray[np.float32], full: float) -> NDArray[np.uint8]:
    """Draw fields float32 [T, H, W, 2] in R, G, B: uint8 [T, H, W, 3].

    Hue is the direction on the screen: right red, down yellow-green, left cyan, up violet (HSV's angle, clockwise).
    Brightness is the speed: black is no motion, ``full`` pixels a frame and more are full brightness.
    """
    angle = np.mod(np.arctan2(fields[..., 1], fields[..., 0]) / (2 * np.pi), 1.0)
    speed = np.clip(np.linalg.norm(fields, axis=-1) / full, 0, 1)
    wheel = np.stack([np.rint(angle * 256) % 256, np.full_like(angle, 255), np.rint(speed * 255)], axis=-1)
    return np.stack([_rgb(picture) for picture in wheel.astype(np.uint8)])


def _rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_HSV2RGB_FULL), dtype=np.uint8)
