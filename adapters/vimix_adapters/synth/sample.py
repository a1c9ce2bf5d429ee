"""Rendering one sample: the frames of the video and the skeleton in them."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.synth.backdrop import backdrop
from vimix_adapters.synth.camera import place_camera
from vimix_adapters.synth.figure import Scene
from vimix_adapters.synth.motion import perform, person
from vimix_adapters.synth.sample_plan import PlannedVideo
from vimix_adapters.synth.synth_settings import SynthSettings


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
