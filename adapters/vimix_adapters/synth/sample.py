"""One sample from its settings: the video's frames and the skeleton that is seen in them."""

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix_adapters.synth.backdrop import backdrop
from vimix_adapters.synth.camera import look
from vimix_adapters.synth.figure import Scene
from vimix_adapters.synth.motion import perform, person
from vimix_adapters.synth.sample_plan import Sample
from vimix_adapters.synth.synth_settings import SynthSettings


@frozen(eq=False)
class Rendered:
    """A video and its skeleton.

    ``frames`` uint8 ``[T, H, W, 3]`` RGB; ``joints`` float32 ``[T, 25, 3]`` in the camera's metres;
    ``pixels`` float32 ``[T, 25, 2]``, each joint's column and row in ``frames``.
    """

    frames: NDArray[np.uint8]
    joints: NDArray[np.float32]
    pixels: NDArray[np.float32]


def scene(settings: SynthSettings, sample: Sample) -> Scene:
    """Draw everything about a sample; all randomness comes from the seed and the sample's own numbers."""
    rng = sample.rng(settings)
    performer = person(settings, sample, rng)
    joints = perform(settings, sample, performer.build, rng)
    view = look(settings, sample, joints, performer.build.height, rng)
    room = np.random.default_rng((settings.seed, 5, int(rng.integers(settings.variety.rooms))))
    return Scene(view, performer, backdrop(view, settings.variety, room, rng))


def render(settings: SynthSettings, sample: Sample) -> Rendered:
    """Paint one sample of ``plan(settings)``."""
    made = scene(settings, sample)
    joints = made.view.points[:, :25].astype(np.float32)
    return Rendered(made.frames(), joints, made.view.pixels[:, :25].astype(np.float32))
