"""Position of the camera, and of the figure in the picture."""

import numpy as np
from attrs import frozen
from numpy.random import Generator

from vimix_adapters.synth.body import Array, turn_x, turn_y, turn_z
from vimix_adapters.synth.sample_plan import CAMERAS, SETUPS, PlannedVideo
from vimix_adapters.synth.synth_settings import SynthSettings, Variety


@frozen(eq=False)
class CameraView:
    """A performance as seen by the camera.

    ``points`` ``[T, 26, 3]`` are camera coordinates in metres: x to the picture's right, y up, z away from the camera
    (as for Kinect, whose pictures are mirrored). ``focal`` is the focal length in pixels; the principal point is the
    picture's centre. ``shake`` ``[T, 2]`` is the displacement (right, down) of each frame in pixels.
    """

    points: Array
    focal: float
    shake: Array
    width: int
    height: int

    @property
    def pixels(self) -> Array:
        """Column and row of each point, ``[T, 26, 2]``. (0, 0) is the centre of the first pixel."""
        return project(self.points, self.focal, self.width, self.height) + self.shake[:, None]


def project(points: Array, focal: float, width: int, height: int) -> Array:
    """Project camera coordinates ``[..., 3]`` to columns and rows ``[..., 2]`` (pinhole camera)."""
    column = (width - 1) / 2 + focal * points[..., 0] / points[..., 2]
    row = (height - 1) / 2 - focal * points[..., 1] / points[..., 2]
    return np.stack([column, row], axis=-1)


def place_camera(
    settings: SynthSettings, sample: PlannedVideo, joints: Array, stature: float, rng: Generator
) -> CameraView:
    """Draw a random camera for ``joints`` ``[T, 26, 3]`` of a person ``stature`` metres tall.

    The figure is inside the picture in all frames. If its motion does not fit at the drawn scale, the scale is reduced.
    Its position is random within the free space.
    """
    variety = settings.variety
    distance = rng.uniform(*variety.distance)
    points = _turned(joints - [0.0, 0.5 * stature, 0.0], sample, variety, rng)
    points[..., 2] = distance - points[..., 2]
    if rng.uniform() < variety.mirror:
        points[..., 0] *= -1
    size = np.array([settings.width, settings.height], float)
    focal = rng.uniform(*variety.scale) * settings.height * distance / stature
    place = 0.5 + variety.position * (rng.uniform(size=2) - 0.5)
    points, focal = _fit(points, focal, size, place, 0.07 * stature / distance, 1.0 + variety.shake)
    return CameraView(points, focal, _shake(len(joints), variety.shake, rng), settings.width, settings.height)


def _turned(joints: Array, sample: PlannedVideo, variety: Variety, rng: Generator) -> Array:
    """Rotate the joints so that the camera looks along -z."""
    share = (sample.camera - 1 + rng.uniform()) / CAMERAS
    azimuth = variety.azimuth * (2 * share - 1)
    low, high = variety.elevation
    elevation = low + (high - low) * (sample.setup - 1 + rng.uniform()) / SETUPS
    rotation = turn_z(variety.roll * float(np.clip(rng.normal(), -2, 2))) @ turn_x(elevation) @ turn_y(azimuth)
    return joints @ rotation.T


def _fit(points: Array, focal: float, size: Array, place: Array, flesh: float, border: float) -> tuple[Array, float]:
    """Move and, if necessary, shrink the figure so that all points are inside the picture.

    ``place`` is its position within the free space, from 0 to 1. ``flesh`` is the thickness around a joint as a share
    of the focal length. Several rounds are needed because moving the figure shifts near points more than far ones.
    """
    points = points.copy()
    for _ in range(5):
        low, high = _extent(points, focal, size, flesh * focal + border)
        focal *= float(np.minimum(1.0, (size - 1 - 2 * border) / (high - low - 2 * border)).min())
        low, high = _extent(points, focal, size, flesh * focal + border)
        step = place * np.maximum(0.0, size - 1 - (high - low)) - low
        points[..., :2] += step * [1, -1] * points[..., 2].mean() / focal
    return points, focal


def _extent(points: Array, focal: float, size: Array, margin: float) -> tuple[Array, Array]:
    pixels = project(points, focal, int(size[0]), int(size[1])).reshape(-1, 2)
    return pixels.min(axis=0) - margin, pixels.max(axis=0) + margin


def _shake(frames: int, amount: float, rng: Generator) -> Array:
    """Draw smooth noise ``[T, 2]`` within ± ``amount``."""
    knots = rng.uniform(-amount, amount, (frames // 5 + 2, 2))
    at = np.arange(frames) / 5
    return np.stack([np.interp(at, np.arange(len(knots)), knots[:, axis]) for axis in range(2)], axis=1)
