"""Settings with which a store was prepared; a store carries them, so that it can be read alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, in_, le

from vimix.values.errors import VimixError
from vimix.values.modality import BONE, FLOW, JOINT, MOTION, RGB, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat


@frozen
class PackSettings:
    """Settings of decoding videos and encoding them into a store."""

    short_side: int = field(default=128, validator=ge(16))
    """Short side of the stored frames, pixels."""
    flow: str = field(default="tvl1", validator=in_(("none", "dis", "tvl1", "tvl1-torch", "imported")))
    """Flow estimator; "none" stores no flow, "imported" stands for flow from files."""
    flow_short_side: int = field(default=256, validator=ge(16))
    """Short side of the frames on which flow is computed, pixels, or that of smaller videos; it is then resized."""
    flow_bound: float = field(default=20.0, validator=gt(0))
    """Displacement at which flow is clipped, in pixels of the stored frames."""
    rate: float = field(default=30.0, validator=ge(0))
    """Highest frame rate, frames a second: faster videos are thinned, slower ones keep their frames; 0: no ceiling."""
    codec: str = field(default="jpeg", validator=in_(("jpeg", "raw")))
    """Encoding of the stored frames."""
    quality: int = field(default=95, validator=and_(ge(1), le(100)))
    """JPEG quality."""
    flow_origin: str = ""
    """Source of flow that was added to an existing store: ``STORED_FRAMES``, or the convention of imported files."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities of a store prepared with these settings."""
        return (RGB,) if self.flow == "none" else (RGB, FLOW)


CHANNELS = (("x", "y"), ("x", "y", "score"), ("x", "y", "z"))
"""Channels that a store of skeletons may have."""

LATER: Mapping[str, object] = {"channels": ("x", "y", "z"), "not_found": "fill", "axes": ""}
"""Settings that the first stores did not have, with the values that stand for those stores."""


def hashed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a fingerprint covers: without those of ``LATER`` that have the value of old stores."""
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return {key: settings[key] for key, value in plain.items() if key not in LATER or value != LATER[key]}


def _names(value: Sequence[str]) -> tuple[str, ...]:
    return tuple(value)


def _layout(value: SkeletonLayout | Mapping[str, Any]) -> SkeletonLayout:
    return value if isinstance(value, SkeletonLayout) else SkeletonLayout(**value)


@frozen
class SkeletonSettings:
    """Settings of converting skeleton sequences into a store."""

    layout: SkeletonLayout = field(converter=_layout)
    """The recorded joints and bones, in full."""
    frames: int = field(default=50, validator=ge(2))
    """Frames T to which every sequence is resized."""
    persons: int = field(default=2, validator=ge(1))
    """Persons M of a sequence; absent ones are zero."""
    denoise: str = field(default="none", validator=in_(("none", "energy", "pyskl")))
    """Choice of the persons among the recorded bodies."""
    align: str = field(default="shoulders", validator=in_(("none", "shoulders", "crosclr")))
    """Way in which bodies are turned to the front."""
    channels: tuple[str, ...] = field(default=("x", "y", "z"), converter=_names, validator=in_(CHANNELS))
    """Numbers C of a joint; a score is in [0, 1] and no coordinate."""
    not_found: str = field(default="fill", validator=in_(("fill", "mask")))
    """Treatment of joints that were not found: ``fill`` interpolates them in time, ``mask`` stores them as NaN."""
    axes: str = ""
    """Axes of array files that do not name theirs, such as ``CTVM``."""

    def __attrs_post_init__(self) -> None:
        """Refuse to turn 2-D joints, which have no depth."""
        if self.align != "none" and self.dimensions == 2:
            raise VimixError(f"--align {self.align} turns joints x y z: use --align none for joints x y")

    @property
    def dimensions(self) -> int:
        """Number of coordinates of a joint, 2 or 3."""
        return len(self.channels) - self.score

    @property
    def score(self) -> bool:
        """Whether the last channel is a score."""
        return self.channels[-1] == "score"

    @property
    def formats(self) -> dict[Modality, ModalityFormat]:
        """Formats of joint, motion and bone; only joint is stored, the others are derived from it."""
        return {
            modality: ModalityFormat(
                modality,
                channels=len(self.channels),
                layout=self.layout,
                derived_from=None if modality == JOINT else JOINT,
                score=self.score,
            )
            for modality in (JOINT, MOTION, BONE)
        }


StoreSettings = PackSettings | SkeletonSettings
"""Settings of a store of videos or of skeletons."""
