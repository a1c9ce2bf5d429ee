"""The actions: joint-angle curves over a phase that repeats, so that every second shows the action."""

from collections.abc import Callable

import numpy as np
from attrs import evolve, field, frozen

from vimix_adapters.synth.body import LEFT, RIGHT, ArmPose, Array, Curve, LegPose, Limb, Pose


@frozen
class Style:
    """The differences between performances of the same action.

    ``amplitude`` scales the swing. ``lead`` is the side that acts. ``free`` are four numbers in [0, 1) whose meaning
    depends on the action. ``rest`` is the pose of an arm that does not act.
    """

    amplitude: float = 1.0
    lead: int = RIGHT
    free: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)
    rest: ArmPose = field(default=ArmPose(lift=10.0, plane=70.0, elbow=15.0))


@frozen
class Action:
    """``pose(phase, style)`` takes a phase ``[T]`` in radians, with a cycle of 2π. ``rate`` is in cycles per second."""

    name: str
    rate: float
    pose: Callable[[Array, Style], Pose]


def _rise(phase: Array) -> Array:
    """Rise smoothly from 0 at phase 0 to 1 half a cycle later, and fall again."""
    return (1 - np.cos(phase)) / 2


def _bump(phase: Array) -> Array:
    """Return the positive half of a sine."""
    return np.maximum(0.0, np.sin(phase))


def _led(style: Style, lead: Limb, other: Limb) -> tuple[Limb, Limb]:
    """Return the left and the right limb."""
    return (lead, other) if style.lead == LEFT else (other, lead)


def _crouch(depth: Curve, thigh: float, spread: float) -> tuple[LegPose, LegPose]:
    """Bent knees over standing feet, ``depth`` 0 to 1."""
    leg = LegPose(swing=thigh * np.asarray(depth), knee=1.9 * thigh * np.asarray(depth), spread=spread)
    return leg, leg


def wave(phase: Array, style: Style) -> Pose:
    """One raised hand swings from side to side."""
    swing = np.sin(phase)
    lead = ArmPose(
        lift=95 + 45 * style.free[0] + 8 * swing,
        plane=70 + 20 * style.free[1],
        elbow=70 + 45 * style.amplitude * swing,
    )
    return Pose(arms=_led(style, lead, style.rest), tilt=2 * swing, look=10 * (style.free[2] - 0.5))


def clap(phase: Array, style: Style) -> Pose:
    """The hands meet in front of the chest and part."""
    apart = _rise(phase)
    arm = ArmPose(
        lift=55 + 35 * style.free[0],
        plane=-22 + (40 + 25 * style.free[1]) * style.amplitude * apart,
        elbow=35 + 20 * style.free[2],
    )
    return Pose(arms=(arm, arm), bend=4 * apart)


def jump(phase: Array, style: Style) -> Pose:
    """Crouches and leaps on the spot."""
    low, high = _bump(phase), _bump(phase + np.pi)
    arm = ArmPose(
        lift=20 + (60 + 80 * style.free[0]) * high - 40 * low, plane=20 + 40 * style.free[1], elbow=20 + 20 * low
    )
    return Pose(
        arms=(arm, arm),
        legs=_crouch(low * style.amplitude, 50, 6),
        bend=28 * low,
        hop=(0.09 + 0.05 * style.free[2]) * style.amplitude * high,
    )


def squat(phase: Array, style: Style) -> Pose:
    """Deep knee bends with the arms stretched forwards."""
    depth = _rise(phase)
    arm = ArmPose(lift=15 + 75 * (depth if style.free[0] < 0.5 else 1.0), plane=5 + 15 * style.free[1], elbow=5)
    legs = _crouch(depth * style.amplitude, 85, 8 + 8 * style.free[2])
    return Pose(arms=(arm, arm), legs=legs, bend=25 * depth, lean=10 * depth)


def kick(phase: Array, style: Style) -> Pose:
    """One leg is drawn back and swings forwards."""
    reach = np.sin(phase)
    lead = LegPose(swing=25 + 60 * style.amplitude * reach, knee=35 - 40 * np.sin(phase + 0.9), toes=15)
    lead = evolve(lead, knee=np.maximum(5.0, np.asarray(lead.knee) * 1.4))
    guard = ArmPose(lift=30 + 25 * style.free[0] - 15 * reach, plane=40, elbow=60 + 30 * style.free[1])
    legs = _led(style, lead, LegPose(swing=6.0, knee=12.0))
    return Pose(arms=(guard, guard), legs=legs, lean=-10 * reach, twist=8 * reach)


def punch(phase: Array, style: Style) -> Pose:
    """The fists punch forwards in turn."""

    def arm(out: Array) -> ArmPose:
        return ArmPose(
            lift=38 + 50 * out, plane=15 - 15 * out, elbow=130 - 120 * style.amplitude**0.5 * np.minimum(out, 0.9)
        )

    left, right = _bump(phase) ** 0.8, _bump(phase + np.pi) ** 0.8
    legs = (LegPose(swing=14.0, knee=18.0), LegPose(swing=-8.0, knee=14.0))
    twist = (20 + 12 * style.free[0]) * (right - left)
    return Pose(arms=(arm(left), arm(right)), legs=_led(style, *legs), twist=twist, bend=8)


def walk(phase: Array, style: Style) -> Pose:
    """Steps forwards; the camera keeps pace."""
    stride = (26 + 8 * style.free[0]) * style.amplitude

    def leg(at: Array) -> LegPose:
        return LegPose(
            swing=6 + stride * np.sin(at), knee=10 + 50 * _bump(at + 1.1) ** 2, toes=8 * np.sin(at), spread=2
        )

    def arm(at: Array) -> ArmPose:
        return ArmPose(
            lift=-(15 + 20 * style.free[1]) * style.amplitude * np.sin(at), plane=0, elbow=20 + 20 * style.free[2]
        )

    other = phase + np.pi
    return Pose(
        arms=(arm(phase), arm(other)), legs=(leg(phase), leg(other)), twist=8 * np.sin(phase), bend=5, planted=0.0
    )


def sit(phase: Array, style: Style) -> Pose:
    """Sits down on an invisible chair and stands up again, with the hands on the thighs."""
    depth = _rise(phase + 0.35 * np.sin(phase))
    leg = LegPose(swing=82 * depth, knee=84 * depth, spread=5 + 6 * style.free[0])
    arm = ArmPose(lift=12 + 38 * depth, plane=12, elbow=18 + 22 * depth)
    return Pose(
        arms=(arm, arm), legs=(leg, leg), lean=35 * style.amplitude * np.sin(phase / 2) ** 2 * (1.2 - depth) + 4
    )


def bow(phase: Array, style: Style) -> Pose:
    """The trunk bends forwards from the hips."""
    depth = _rise(phase) * style.amplitude
    arm = ArmPose(lift=8 + (10 + 50 * style.free[0]) * depth, plane=15, elbow=8)
    return Pose(arms=(arm, arm), lean=55 * depth, bend=32 * depth, nod=15 * depth)


def turn(phase: Array, style: Style) -> Pose:
    """Turns about the vertical axis, with small steps."""
    way = 1.0 if style.lead == LEFT else -1.0
    step = np.sin(4 * phase)
    legs = tuple(
        LegPose(swing=9 + 12 * np.maximum(0, s * step), knee=16 + 26 * np.maximum(0, s * step)) for s in (1, -1)
    )
    arm = evolve(style.rest, lift=12 + 25 * style.free[0])
    return Pose(yaw=way * np.degrees(phase), arms=(arm, arm), legs=(legs[0], legs[1]), planted=0.0)


def jumping_jack(phase: Array, style: Style) -> Pose:
    """Arms and legs open and close sideways, with a hop."""
    wide = _rise(phase)
    arm = ArmPose(lift=12 + 135 * style.amplitude**0.5 * wide, plane=85, elbow=12)
    leg = LegPose(spread=4 + 22 * style.amplitude * wide, knee=8)
    return Pose(arms=(arm, arm), legs=(leg, leg), hop=0.04 * np.abs(np.sin(phase)))


def arm_circles(phase: Array, style: Style) -> Pose:
    """Both straight arms circle beside the body."""
    way = 1.0 if style.lead == LEFT else -1.0
    arm = ArmPose(lift=way * np.degrees(phase), plane=5 + 20 * style.free[0], elbow=5)
    return Pose(arms=(arm, arm), bend=3 * np.sin(phase))


def side_bend(phase: Array, style: Style) -> Pose:
    """The trunk bends to the left and to the right, with the arms overhead or out."""
    swing = np.sin(phase)
    arm = ArmPose(lift=95 + 60 * style.free[0], plane=80, elbow=20)
    return Pose(arms=(arm, arm), tilt=52 * style.amplitude * swing, legs=(LegPose(spread=10), LegPose(spread=10)))


def throw(phase: Array, style: Style) -> Pose:
    """One arm throws overhead from back to front."""
    ahead = np.sin(phase)
    lead = ArmPose(lift=120 - 50 * style.amplitude * ahead, plane=45 - 40 * ahead, elbow=65 - 55 * np.sin(phase - 0.6))
    legs = _led(style, LegPose(swing=-10.0, knee=10.0), LegPose(swing=16.0, knee=14.0))
    other = ArmPose(lift=40 - 20 * ahead, plane=20, elbow=40)
    sign = 1.0 if style.lead == RIGHT else -1.0
    return Pose(arms=_led(style, lead, other), legs=legs, twist=sign * 26 * ahead, bend=10 + 14 * ahead)


def march(phase: Array, style: Style) -> Pose:
    """Marches on the spot with high knees."""

    def leg(up: Array) -> LegPose:
        return LegPose(swing=80 * style.amplitude * up, knee=90 * up)

    def arm(up: Array) -> ArmPose:
        return ArmPose(lift=10 + 50 * up, plane=8, elbow=60 + 30 * style.free[0])

    left, right = _bump(phase), _bump(phase + np.pi)
    return Pose(arms=(arm(right), arm(left)), legs=(leg(left), leg(right)))


def twist(phase: Array, style: Style) -> Pose:
    """The trunk twists to and fro with the arms held out."""
    arm = ArmPose(lift=70 + 15 * style.free[0], plane=60 + 30 * style.free[1], elbow=20 + 60 * style.free[2])
    swing = np.sin(phase)
    legs = (LegPose(spread=8, knee=8), LegPose(spread=8, knee=8))
    return Pose(arms=(arm, arm), legs=legs, twist=75 * style.amplitude * swing, look=10 * swing)


ACTIONS: tuple[Action, ...] = (
    Action("wave", 1.6, wave),
    Action("clap", 1.5, clap),
    Action("jump", 1.1, jump),
    Action("squat", 0.75, squat),
    Action("kick", 1.0, kick),
    Action("punch", 1.3, punch),
    Action("walk", 1.0, walk),
    Action("sit", 0.6, sit),
    Action("bow", 0.6, bow),
    Action("turn", 0.45, turn),
    Action("jumping_jack", 1.1, jumping_jack),
    Action("arm_circles", 0.9, arm_circles),
    Action("side_bend", 0.7, side_bend),
    Action("throw", 1.0, throw),
    Action("march", 1.1, march),
    Action("twist", 0.8, twist),
)
"""A data set of N classes uses the first N. The label of a class is its index; its NTU action number is one more."""
