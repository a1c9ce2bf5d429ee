"""What is asked of the embedded data set, and how much its videos may differ for reasons other than the class."""

from collections.abc import Callable

from attrs import Attribute, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.synth.actions import ACTIONS

GENERATOR = 4
"""Raised whenever the same settings would give other pictures, so that an old folder is not continued."""


def _at_least(low: int, hint: str = "") -> Callable[[object, "Attribute[int]", int], None]:
    def check(_: object, attribute: "Attribute[int]", value: int) -> None:
        if value < low:
            raise VimixError(f"{attribute.name}: expected at least {low}, got {value}{hint}")

    return check


def _picture_side(_: object, attribute: "Attribute[int]", value: int) -> None:
    if value < 32 or value > 2048 or value % 2:
        raise VimixError(f"{attribute.name}: expected an even number of pixels from 32 to 2048, got {value}")


def _known_classes(_: object, attribute: "Attribute[int]", value: int) -> None:
    if not 1 <= value <= len(ACTIONS):
        raise VimixError(f"{attribute.name}: expected 1 to {len(ACTIONS)} (the actions defined), got {value}")


def _range_of_seconds(_: object, attribute: "Attribute[tuple[float, float]]", value: tuple[float, float]) -> None:
    if not 0 < value[0] <= value[1]:
        raise VimixError(f"{attribute.name}: expected a shortest and a longest above 0, got {value}")


@frozen
class Variety:
    """Amounts of what is drawn at random and independently of the class. Pairs are ends of a uniform draw.

    Raising them makes untrained features match worse, and learning slower.
    """

    azimuth: float = 60.0
    """The camera stands within ± this many degrees of straight ahead."""
    elevation: tuple[float, float] = (-5.0, 30.0)
    """Degrees the camera looks down."""
    roll: float = 4.0
    """Standard deviation of the camera's tilt, degrees."""
    distance: tuple[float, float] = (2.8, 4.5)
    """Metres from camera to person: the strength of the perspective."""
    scale: tuple[float, float] = (0.8, 0.9)
    """Standing height as a share of the picture's; less where the action would leave the picture."""
    position: float = 0.5
    """Share of the free room around the figure over which its place is drawn; 0 is always the middle."""
    mirror: float = 0.5
    """Probability that the picture is mirrored."""
    shake: float = 1.8
    """Largest displacement of the camera, pixels."""
    drift: float = 0.1
    """Standard deviation of the person's speed over the floor, metres a second."""
    sway: float = 8.0
    """Largest slow turning of the whole body, degrees."""
    speed: tuple[float, float] = (0.6, 1.5)
    """Factor on the action's rate."""
    amplitude: tuple[float, float] = (0.65, 1.2)
    """Factor on the action's swing."""
    posture: float = 5.0
    """Standard deviation of each joint angle's constant offset, degrees."""
    fidget: float = 3.0
    """Largest slow wobble of each joint angle, degrees."""
    proportions: float = 0.08
    """Standard deviation of the performers' limb lengths and widths, as a share."""
    clothing: float = 0.08
    """Change of a performer's colours from video to video, as a share of the colour range."""
    brightness: tuple[float, float] = (0.9, 1.0)
    """Of the clothes, as a share of white."""
    saturation: float = 0.08
    """Largest of the clothes, 0 (grey) to 1."""
    rooms: int = 1
    """Backgrounds there are. Few, as in NTU's laboratory: were each video's its own, it would give the video away, and
    a network that has to tell videos apart would learn the background and nothing of the motion."""
    wall: tuple[float, float] = (25.0, 60.0)
    """Brightness of the background, 0 to 255: darker than the clothes, so that the figure shows."""
    tint: float = 8.0
    """Largest difference of the background's red, green and blue from its brightness."""
    grain: tuple[float, float] = (2.0, 5.0)
    """Strength of each of the background's four sizes of noise."""
    bystanders: int = 0
    """Most objects that move behind the person, 0 to this many."""


@frozen
class SynthSettings:
    """All that decides the content of the data set. Equal settings give equal files.

    Raises VimixError for a value that no data set can be made with.
    """

    classes: int = field(default=10, validator=_known_classes)
    videos_per_class: int = field(default=40, validator=_at_least(2, ": one to train on and one to test on"))
    performers: int = field(default=10, validator=_at_least(2, ": the test list's performers are others"))
    seed: int = field(default=0, validator=_at_least(0))
    width: int = field(default=96, validator=_picture_side)
    height: int = field(default=96, validator=_picture_side)
    rate: int = field(default=30, validator=_at_least(1))
    """Frames a second."""
    seconds: tuple[float, float] = field(default=(2.0, 4.0), validator=_range_of_seconds)
    """Shortest and longest video."""
    variety: Variety = field(factory=Variety)
