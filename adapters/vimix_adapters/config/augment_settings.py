"""Settings of the augmentation of clips."""

from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

_probability: Any = and_(ge(0), le(1))
_half: Any = and_(ge(0), le(0.5))
_area: Any = and_(gt(0), le(1))


@frozen
class AugmentSettings:
    """Ranges and probabilities of the augmentation of pictures and flow (section 6 of the method, after CoCLR).

    Raises ValueError if a value is out of its range or a minimum exceeds its maximum.
    """

    views: Literal["alike", "coclr", "cvrl"] = "alike"
    """Draw of a video's views: each from a window of its own, with all augmentations; or as in CoCLR or CVRL."""
    area_min: float = field(default=0.2, validator=_area)
    """Smallest area of the random crop as a share of the frame."""
    area_max: float = field(default=1.0, validator=_area)
    """Largest area of the random crop as a share of the frame."""
    flip: float = field(default=0.5, validator=_probability)
    """Probability of a horizontal flip."""
    jitter: float = field(default=0.8, validator=_probability)
    """Probability of the colour jitter."""
    brightness: float = field(default=0.4, validator=ge(0))
    """The brightness factor is uniform in 1 ± this (never below 0)."""
    contrast: float = field(default=0.4, validator=ge(0))
    """The contrast factor is uniform in 1 ± this (never below 0)."""
    saturation: float = field(default=0.4, validator=ge(0))
    """The saturation factor is uniform in 1 ± this (never below 0)."""
    hue: float = field(default=0.1, validator=_half)
    """The hue shift is uniform in ± this, as a share of the colour circle."""
    grey: float = field(default=0.2, validator=_probability)
    """Probability of greyscale."""
    blur: float = field(default=0.5, validator=_probability)
    """Probability of a Gaussian blur."""
    blur_sigma_min: float = field(default=0.1, validator=ge(0))
    """Smallest sigma of the blur, in pixels of a clip of 128 × 128; smaller clips are blurred less in proportion."""
    blur_sigma_max: float = field(default=2.0, validator=ge(0))
    """Largest sigma of the blur, in the same unit."""

    def __attrs_post_init__(self) -> None:
        for low, high in (("area_min", "area_max"), ("blur_sigma_min", "blur_sigma_max")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} = {getattr(self, low)} exceeds {high} = {getattr(self, high)}")


@frozen
class SkeletonAugmentSettings:
    """Settings of the augmentation of skeletons (section 6 of the method, after CrosSCLR)."""

    shear: float = field(default=0.5, validator=ge(0))
    """Amplitude of the shear: the six off-diagonal numbers of its matrix are uniform in ± this."""
    padding_ratio: int = field(default=6, validator=ge(0))
    """T / ``padding_ratio`` frames are reflected at both ends before T frames are cropped; 0: no temporal crop."""
