"""One performance of an action: the person, the style, the speed, and the joints over time."""

import colorsys

import attrs
import numpy as np
from attrs import evolve, frozen
from numpy.random import Generator

from vimix_adapters.synth.actions import ACTIONS, Style
from vimix_adapters.synth.body import ArmPose, Array, Build, Limb, Pose, forward_kinematics, turn_y
from vimix_adapters.synth.sample_plan import PlannedVideo
from vimix_adapters.synth.synth_settings import SynthSettings, Variety

Colour = tuple[float, float, float]


@frozen
class Person:
    """A performer as drawn in one video. Colours are RGB, 0 to 255."""

    build: Build
    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_trousers: bool


def person(settings: SynthSettings, sample: PlannedVideo, rng: Generator) -> Person:
    """Return the sample's performer, who is the same in all their videos except for the shade of the clothes."""
    own = np.random.default_rng((settings.seed, 4, sample.performer))
    spread = settings.variety.proportions
    factors = np.clip(own.normal(1.0, spread, 6), 1 - 2 * spread, 1 + 2 * spread)
    build = Build(own.uniform(1.55, 1.95), *factors.tolist())
    tan, hair = own.uniform(), own.uniform()
    variety = settings.variety
    return Person(
        build=build,
        skin=_between((238, 200, 175), (110, 72, 50), tan),
        hair=_between((35, 25, 20), (190, 150, 90), hair**2),
        shirt=_shade(_cloth(variety, own), variety.clothing, rng),
        trousers=_shade(_cloth(variety, own), variety.clothing, rng),
        shoes=_shade(_cloth(variety, own), variety.clothing, rng),
        long_sleeves=bool(own.uniform() < 0.5),
        long_trousers=bool(own.uniform() < 0.7),
    )


def _cloth(variety: Variety, rng: Generator) -> Colour:
    hue, saturation, value = rng.uniform(), rng.uniform(0, variety.saturation), rng.uniform(*variety.brightness)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def _between(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _shade(colour: Colour, amount: float, rng: Generator) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + 255 * amount * rng.uniform(-1, 1, 3), 0, 255).tolist()
    return red, green, blue


def perform(settings: SynthSettings, sample: PlannedVideo, build: Build, rng: Generator) -> Array:
    """Return joint positions ``[T, 26, 3]`` in metres of the performer, who is near the origin and faces along z."""
    variety = settings.variety
    shortest, longest = (round(seconds * settings.rate) for seconds in settings.seconds)
    frames = int(rng.integers(shortest, longest, endpoint=True))
    times = np.arange(frames) / settings.rate
    action = ACTIONS[sample.action]
    phase = _phase(action.rate * rng.uniform(*variety.speed), times, rng)
    pose = _restless(action.pose(phase, _style(variety, rng)), variety, times, rng)
    joints = forward_kinematics(pose, build, frames)
    heading = variety.sway * _wobble(times, rng) + variety.sway * rng.uniform(-1, 1)
    joints = joints @ turn_y(heading).swapaxes(-1, -2)
    path = rng.normal(0, variety.drift, 2) * (times - times.mean())[:, None]
    joints[..., [0, 2]] += path[:, None]
    return joints


def _style(variety: Variety, rng: Generator) -> Style:
    rest = ArmPose(lift=rng.uniform(4, 30), plane=rng.uniform(20, 90), elbow=rng.uniform(5, 60))
    first, second, third, fourth = rng.uniform(size=4).tolist()
    return Style(
        amplitude=rng.uniform(*variety.amplitude),
        lead=int(rng.integers(2)),
        free=(first, second, third, fourth),
        rest=rest,
    )


def _phase(rate: float, times: Array, rng: Generator) -> Array:
    """Return a phase with a random start, ``rate`` cycles per second, and a slowly varying speed."""
    return np.asarray(2 * np.pi * (rng.uniform() + rate * times) + 0.25 * _wobble(times, rng))


def _wobble(times: Array, rng: Generator) -> Array:
    """Draw a slow curve within ±1."""
    turns = rng.uniform(0.15, 0.6, 2)[:, None] * times + rng.uniform(size=2)[:, None]
    return np.asarray(np.sin(2 * np.pi * turns).mean(axis=0))


def _restless(pose: Pose, variety: Variety, times: Array, rng: Generator) -> Pose:
    """Add an offset and a slow wobble to every joint angle, less to the legs, which carry the body."""

    def angle(amount: float) -> Array:
        return amount * (variety.posture * rng.normal() + variety.fidget * _wobble(times, rng))

    def stir(limb: Limb, amount: float) -> Limb:
        return evolve(limb, **{f.name: getattr(limb, f.name) + angle(amount) for f in attrs.fields(type(limb))})

    left, right = (stir(arm, 1.0) for arm in pose.arms)
    left_leg, right_leg = (stir(leg, 0.4) for leg in pose.legs)
    trunk = {name: getattr(pose, name) + angle(0.7) for name in ("bend", "tilt", "twist", "nod", "look")}
    return evolve(pose, arms=(left, right), legs=(left_leg, right_leg), **trunk)
