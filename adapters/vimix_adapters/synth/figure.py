"""One sample rendered: the figure, tapered capsules between joints painted the farthest first, and its skeleton."""

import cv2
import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.synth import body
from vimix_adapters.synth.backdrop import SHIFT, Backdrop, Picture, backdrop, fixed
from vimix_adapters.synth.body import Array
from vimix_adapters.synth.camera import CameraView, place_camera
from vimix_adapters.synth.motion import Colour, Person, perform, person
from vimix_adapters.synth.sample_plan import PlannedVideo
from vimix_adapters.synth.synth_settings import SynthSettings

_CIRCLE = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=-1)
OUTLINE = 0.45
"""Relative brightness of a part's edge, which makes an arm visible in front of a trunk of the same colour."""


@frozen
class Part:
    """The convex hull of balls at some joints: ``balls`` are (joint, radius as a share of the stature)."""

    balls: tuple[tuple[int, float], ...]
    colour: Colour
    nearer: float = 0.0
    """Metres by which the part counts as nearer than its centre, to order touching parts."""


@frozen(eq=False)
class Scene:
    """Everything needed to paint a video."""

    view: CameraView
    person: Person
    backdrop: Backdrop

    def background(self, time: int) -> Picture:
        """Paint frame ``time`` without the figure, uint8 ``[H, W, 3]`` RGB."""
        return _shrink(self.backdrop.frame(self.view, time), self.view)

    def frames(self) -> Picture:
        """Paint the video, uint8 ``[T, H, W, 3]`` RGB."""
        dressed = parts(self.person)
        hulls = [_outlines(self.view, part, self.person.build) for part in dressed]
        depths = np.stack([_depth(self.view, part) for part in dressed], axis=1)
        pictures = []
        for time in range(len(self.view.points)):
            canvas = self.backdrop.frame(self.view, time)
            for index in np.argsort(-depths[time], kind="stable"):
                _paint(canvas, hulls[index][time], dressed[index].colour)
            pictures.append(_shrink(canvas, self.view))
        return np.stack(pictures)


@frozen(eq=False)
class Rendered:
    """A video and its skeleton.

    ``frames`` uint8 ``[T, H, W, 3]`` RGB; ``joints`` float32 ``[T, 25, 3]`` camera coordinates in metres;
    ``pixels`` float32 ``[T, 25, 2]`` column and row of each joint in ``frames``.
    """

    frames: NDArray[np.uint8]
    joints: NDArray[np.float32]
    pixels: NDArray[np.float32]


def scene(settings: SynthSettings, sample: PlannedVideo) -> Scene:
    """Draw all random properties of a sample. They depend only on the seed and the sample's numbers."""
    rng = sample.rng(settings)
    performer = person(settings, sample, rng)
    joints = perform(settings, sample, performer.build, rng)
    view = place_camera(settings, sample, joints, performer.build.height, rng)
    room = np.random.default_rng((settings.seed, 5, int(rng.integers(settings.variety.rooms))))
    return Scene(view, performer, backdrop(view, settings.variety, room, rng))


def render(settings: SynthSettings, sample: PlannedVideo) -> Rendered:
    """Paint one sample of ``plan(settings)``."""
    made = scene(settings, sample)
    joints = made.view.points[:, :25].astype(np.float32)
    return Rendered(made.frames(), joints, made.view.pixels[:, :25].astype(np.float32))


def parts(person: Person) -> tuple[Part, ...]:
    """Return the parts of a dressed person."""
    trunk = [(j, 0.036) for j in body.SHOULDERS] + [(body.MIDDLE, 0.062)]
    hips = [(j, 0.046) for j in body.HIPS]
    torso = Part((*trunk, *hips), person.shirt)
    pelvis = Part((*hips, (body.BASE, 0.055)), person.trousers, 0.01)
    neck = Part(((body.NECK, 0.026), (body.HEAD, 0.026)), person.skin)
    head = Part(((body.HEAD, 0.058),), person.hair, 0.02)
    face = Part(((body.FACE, 0.046),), person.skin, 0.02)
    limbs = [part for side in (body.LEFT, body.RIGHT) for part in (*_arm(person, side), *_leg(person, side))]
    return (torso, pelvis, neck, head, face, *limbs)


def _arm(person: Person, side: int) -> tuple[Part, ...]:
    shoulder, elbow, wrist = body.SHOULDERS[side], body.ELBOWS[side], body.WRISTS[side]
    sleeve = person.shirt if person.long_sleeves else person.skin
    return (
        Part(((shoulder, 0.038), (elbow, 0.034)), person.shirt, 0.01),
        Part(((elbow, 0.033), (wrist, 0.028)), sleeve, 0.02),
        Part(((body.HANDS[side], 0.032), (body.TIPS[side], 0.02), (body.THUMBS[side], 0.016)), person.skin, 0.03),
    )


def _leg(person: Person, side: int) -> tuple[Part, ...]:
    hip, knee, ankle, foot = body.HIPS[side], body.KNEES[side], body.ANKLES[side], body.FEET[side]
    cloth = person.trousers if person.long_trousers else person.skin
    return (
        Part(((hip, 0.05), (knee, 0.036)), person.trousers),
        Part(((knee, 0.036), (ankle, 0.028)), cloth, 0.01),
        Part(((ankle, 0.03), (foot, 0.022)), person.shoes, 0.02),
    )


def _outlines(view: CameraView, part: Part, build: body.Build) -> NDArray[np.int32]:
    """Return points on the circles of the part's balls ``[T, 12·balls, 2]`` in OpenCV's fixed-point coordinates."""
    joints = [joint for joint, _ in part.balls]
    radii = build.girth * build.height * np.array([radius for _, radius in part.balls])
    seen = view.focal * radii / view.points[:, joints, 2]
    rims = view.pixels[:, joints, None] + seen[..., None, None] * _CIRCLE
    return fixed(rims.reshape(len(rims), -1, 2))


def _paint(canvas: Picture, rims: NDArray[np.int32], colour: Colour) -> None:
    hull = cv2.convexHull(rims)
    cv2.fillConvexPoly(canvas, hull, colour, cv2.LINE_AA, SHIFT)
    edge = tuple(OUTLINE * channel for channel in colour)
    cv2.polylines(canvas, [hull], isClosed=True, color=edge, thickness=1, lineType=cv2.LINE_AA, shift=SHIFT)


def _depth(view: CameraView, part: Part) -> Array:
    joints = [joint for joint, _ in part.balls]
    depth: Array = view.points[:, joints, 2].mean(axis=1) - part.nearer
    return depth


def _shrink(canvas: Picture, view: CameraView) -> Picture:
    return np.asarray(cv2.resize(canvas, (view.width, view.height), interpolation=cv2.INTER_AREA), np.uint8)
