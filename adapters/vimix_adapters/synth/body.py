"""The NTU RGB+D skeleton of 25 joints and its forward kinematics.

Body axes: x to its left, y up, z forwards, in metres. Joints have NTU RGB+D's order and names, numbered from 0.
"""

from typing import TypeAlias, TypeVar

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = Array | float
"""An angle over time ``[T]``, or a constant angle, in degrees."""

LEFT, RIGHT = 0, 1
SIGN = (1.0, -1.0)
SHOULDERS, ELBOWS, WRISTS, HANDS = (4, 8), (5, 9), (6, 10), (7, 11)
HIPS, KNEES, ANKLES, FEET = (12, 16), (13, 17), (14, 18), (15, 19)
TIPS, THUMBS = (21, 23), (22, 24)
BASE, MIDDLE, NECK, HEAD, CHEST = 0, 1, 2, 3, 20
FACE = 25
"""An additional point in front of the head, for drawing only."""


@frozen
class ArmPose:
    """``lift`` raises a hanging arm in the vertical plane at ``plane`` degrees from forwards (90: sideways).

    ``twist`` turns the upper arm outwards about its axis. ``elbow`` is 0 for a straight arm.
    """

    lift: Curve = 0.0
    plane: Curve = 45.0
    twist: Curve = 0.0
    elbow: Curve = 0.0


@frozen
class LegPose:
    """``swing`` forwards and ``spread`` sideways from hanging down; ``knee`` is 0 for a straight leg; ``toes`` upwards.

    The angles are independent of the pelvis' ``lean``, so a bow does not move the feet.
    """

    swing: Curve = 0.0
    spread: Curve = 4.0
    knee: Curve = 0.0
    toes: Curve = 0.0


Limb = TypeVar("Limb", ArmPose, LegPose)


@frozen
class Pose:
    """Joint angles over time in degrees. ``hop`` is the feet's height above the floor as a share of the body height.

    With ``planted`` = 1 the foot on the floor stays in place and the body moves; with 0 the hips stay in place.
    """

    yaw: Curve = 0.0
    lean: Curve = 0.0
    bend: Curve = 0.0
    tilt: Curve = 0.0
    twist: Curve = 0.0
    nod: Curve = 0.0
    look: Curve = 0.0
    hop: Curve = 0.0
    planted: float = 1.0
    arms: tuple[ArmPose, ArmPose] = (ArmPose(), ArmPose())
    legs: tuple[LegPose, LegPose] = (LegPose(), LegPose())


@frozen
class Build:
    """A person's measures: ``height`` in metres; the others are factors on average proportions."""

    height: float = 1.75
    torso: float = 1.0
    arms: float = 1.0
    legs: float = 1.0
    shoulders: float = 1.0
    girth: float = 1.0
    head: float = 1.0


def turn_x(degrees: Curve) -> Array:
    """Return rotations ``[..., 3, 3]`` about x, from up to forwards."""
    return _turn(degrees, 1, 2)


def turn_y(degrees: Curve) -> Array:
    """Return rotations ``[..., 3, 3]`` about y, from forwards to left."""
    return _turn(degrees, 2, 0)


def turn_z(degrees: Curve) -> Array:
    """Return rotations ``[..., 3, 3]`` about z, from left to up."""
    return _turn(degrees, 0, 1)


def _turn(degrees: Curve, first: int, second: int) -> Array:
    angle = np.radians(np.asarray(degrees, np.float64))
    result = np.zeros((*angle.shape, 3, 3))
    result[..., [0, 1, 2], [0, 1, 2]] = 1.0
    result[..., first, first] = result[..., second, second] = np.cos(angle)
    result[..., second, first] = np.sin(angle)
    result[..., first, second] = -np.sin(angle)
    return result


@frozen(eq=False)
class _Chain:
    """The joints placed so far, ``points[j]`` ``[T, 3]``, of a person of ``height`` metres."""

    frames: int
    height: float
    points: dict[int, Array] = field(factory=dict)

    def place(self, joint: int, parent: int, turn: Array, offset: tuple[float, float, float]) -> None:
        """Place ``joint`` at ``offset`` (shares of the height) from ``parent`` in the rotated frame ``turn``."""
        step = turn @ (self.height * np.asarray(offset))
        self.points[joint] = self.points[parent] + np.broadcast_to(step, (self.frames, 3))


def forward_kinematics(pose: Pose, build: Build, frames: int) -> Array:
    """Return joint positions ``[T, 26, 3]`` in metres: NTU's 25 joints and the face. The floor is y = 0.

    The lower foot of each frame stands on the floor, or ``hop`` above it.
    """
    chain = _Chain(frames, build.height)
    chain.points[BASE] = np.zeros((frames, 3))
    yaw = turn_y(pose.yaw)
    chest = _place_trunk(chain, pose, build, yaw @ turn_x(pose.lean))
    for side in (LEFT, RIGHT):
        _place_arm(chain, pose.arms[side], build, chest, side)
        _place_leg(chain, pose.legs[side], build, yaw, side)
    joints = np.stack([chain.points[index] for index in range(FACE + 1)], axis=1)
    return _ground(joints, pose, build)


def _place_trunk(chain: _Chain, pose: Pose, build: Build, pelvis: Array) -> Array:
    for side in (LEFT, RIGHT):
        chain.place(HIPS[side], BASE, pelvis, (SIGN[side] * 0.052 * build.shoulders, -0.02, 0.0))
    # Both halves of the spine bend by the same angle.
    vertebra = (
        turn_y(np.asarray(pose.twist) / 2) @ turn_z(np.asarray(pose.tilt) / 2) @ turn_x(np.asarray(pose.bend) / 2)
    )
    lumbar = pelvis @ vertebra
    chest = lumbar @ vertebra
    chain.place(MIDDLE, BASE, lumbar, (0.0, 0.135 * build.torso, 0.0))
    chain.place(CHEST, MIDDLE, chest, (0.0, 0.145 * build.torso, 0.0))
    chain.place(NECK, CHEST, chest, (0.0, 0.045, 0.0))
    skull = chest @ turn_y(pose.look) @ turn_x(pose.nod)
    chain.place(HEAD, NECK, skull, (0.0, 0.075 * build.head, 0.01))
    chain.place(FACE, HEAD, skull, (0.0, -0.008, 0.032 * build.head))
    return chest


def _place_arm(chain: _Chain, arm: ArmPose, build: Build, chest: Array, side: int) -> None:
    sign = SIGN[side]
    upper = chest @ turn_y(sign * np.asarray(arm.plane)) @ turn_x(-np.asarray(arm.lift))
    # A hanging arm bends its elbow forwards for any plane. A raised arm bends it in its plane.
    settle = -np.asarray(arm.plane) * np.maximum(0.0, np.cos(np.radians(arm.lift)))
    upper = upper @ turn_y(sign * (settle + np.asarray(arm.twist)))
    lower = upper @ turn_x(-np.asarray(arm.elbow))
    chain.place(SHOULDERS[side], CHEST, chest, (sign * 0.108 * build.shoulders, -0.02, 0.0))
    chain.place(ELBOWS[side], SHOULDERS[side], upper, (0.0, -0.165 * build.arms, 0.0))
    chain.place(WRISTS[side], ELBOWS[side], lower, (0.0, -0.145 * build.arms, 0.0))
    chain.place(HANDS[side], WRISTS[side], lower, (0.0, -0.042, 0.0))
    chain.place(TIPS[side], HANDS[side], lower, (0.0, -0.045, 0.0))
    chain.place(THUMBS[side], WRISTS[side], lower, (0.0, -0.045, 0.022))


def _place_leg(chain: _Chain, leg: LegPose, build: Build, yaw: Array, side: int) -> None:
    thigh = yaw @ turn_z(SIGN[side] * np.asarray(leg.spread)) @ turn_x(-np.asarray(leg.swing))
    shank = thigh @ turn_x(leg.knee)
    level = yaw @ turn_x(-np.asarray(leg.toes))
    chain.place(KNEES[side], HIPS[side], thigh, (0.0, -0.235 * build.legs, 0.0))
    chain.place(ANKLES[side], KNEES[side], shank, (0.0, -0.235 * build.legs, 0.0))
    chain.place(FEET[side], ANKLES[side], level, (SIGN[side] * 0.012, -0.022, 0.075))


def _ground(joints: Array, pose: Pose, build: Build) -> Array:
    feet = joints[:, list(FEET)]
    lowest = feet[..., 1].min(axis=1)
    shift = np.zeros((len(joints), 3))
    shift[:, 1] = (np.asarray(pose.hop) + 0.018) * build.height - lowest
    # The standing foot is chosen softly, so that the body does not jump when the weight shifts.
    weight = np.exp(-(feet[..., 1] - lowest[:, None]) / (0.03 * build.height))
    weight /= weight.sum(axis=1, keepdims=True)
    standing = (weight[..., None] * joints[:, list(ANKLES)]).sum(axis=1)
    shift[:, [0, 2]] = -pose.planted * standing[:, [0, 2]]
    return joints + shift[:, None]
