"""Settings of the synthetic data set, and how much its videos differ for reasons other than the class."""

from collections.abc import Callable

from attrs import Attribute, field, frozen
from attrs.validators import optional

from vimix.values.errors import VimixError
from vimix_adapters.synth.actions import ACTIONS

GENERATOR = 4
"""Version of the generator. It changes when the same settings give other pictures, so that old folders are refused."""


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
    """Amounts of random variation that does not depend on the class. Pairs are the bounds of a uniform draw.

    Larger amounts lower the accuracy of untrained features and slow learning down.
    """

    azimuth: float = 60.0
    """Largest angle of the camera from the person's front, degrees."""
    elevation: tuple[float, float] = (-5.0, 30.0)
    """Angle by which the camera looks down, degrees."""
    roll: float = 4.0
    """Standard deviation of the camera's tilt, degrees."""
    distance: tuple[float, float] = (2.8, 4.5)
    """Distance from camera to person, metres, which sets the strength of the perspective."""
    scale: tuple[float, float] = (0.8, 0.9)
    """Standing height as a share of the picture's height; less if the action would leave the picture."""
    position: float = 0.5
    """Share of the free space around the figure within which its position is drawn; 0 always centres it."""
    mirror: float = 0.5
    """Probability that the picture is mirrored."""
    shake: float = 1.8
    """Largest displacement of the picture, pixels."""
    drift: float = 0.1
    """Standard deviation of the person's speed over the floor, metres a second."""
    sway: float = 8.0
    """Largest slow turn of the whole body, degrees."""
    speed: tuple[float, float] = (0.6, 1.5)
    """Factor on the action's rate."""
    amplitude: tuple[float, float] = (0.65, 1.2)
    """Factor on the action's swing."""
    posture: float = 5.0
    """Standard deviation of each joint angle's constant offset, degrees."""
    fidget: float = 3.0
    """Largest slow wobble of each joint angle, degrees."""
    proportions: float = 0.08
    """Relative standard deviation of the performers' limb lengths and widths."""
    clothing: float = 0.08
    """Change of a performer's colours from video to video, as a share of the colour range."""
    brightness: tuple[float, float] = (0.9, 1.0)
    """Brightness of the clothes as a share of white."""
    saturation: float = 0.08
    """Largest saturation of the clothes, from 0 (grey) to 1."""
    rooms: int = 1
    """Number of backgrounds, few as in NTU's laboratory. If each video had its own background, a network that learns to
    distinguish videos would learn the backgrounds and not the motion."""
    wall: tuple[float, float] = (25.0, 60.0)
    """Brightness of the background, 0 to 255. It is darker than the clothes, so that the figure is visible."""
    tint: float = 8.0
    """Largest difference of the background's channels from its brightness, 0 to 255."""
    grain: tuple[float, float] = (2.0, 5.0)
    """Strength of the background's noise at each of four grain sizes, 0 to 255."""
    bystanders: int = 0
    """Largest number of objects that move behind the person."""


@frozen
class SynthSettings:
    """All settings that determine the content of the data set. Equal settings give equal files.

    Raises VimixError for an impossible value.
    """

    classes: int = field(default=10, validator=_known_classes)
    videos_per_class: int = field(default=40, validator=_at_least(2, ": one to train on and one to test on"))
    performers: int = field(
        default=10, validator=_at_least(2, ": the performers of the test list do not appear in the training list")
    )
    seed: int = field(default=0, validator=_at_least(0))
    width: int = field(default=96, validator=_picture_side)
    height: int = field(default=96, validator=_picture_side)
    rate: int = field(default=30, validator=_at_least(1))
    """Frames per second."""
    seconds: tuple[float, float] = field(default=(2.0, 4.0), validator=_range_of_seconds)
    """Length of the shortest and the longest video, seconds."""
    variety: Variety = field(factory=Variety)
    train_per_class: int | None = field(default=None, validator=optional(_at_least(1)))
    """Largest number of training videos of each class, for training on few videos; the test videos are all made."""
