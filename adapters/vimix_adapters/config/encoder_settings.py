"""The registry of encoders, and the settings of a modality's encoder.

A new encoder is one entry of ``ENCODERS`` and the function that its ``builder`` names; nothing else tests an encoder's
name. The registry is plain data: the module of a builder, and with it torch, is imported when a network is built.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from vimix_adapters.structuring import nearest


@frozen
class EncoderEntry:
    """One encoder: its name, the kind of its maps, the settings that it reads, and its builder."""

    name: str
    """Value of ``encoder`` in a recipe."""
    maps: Literal["planes", "graph"]
    """Axes of its clips and maps: [C, T, H, W] of pictures and flow, or [C, T, V, M] of skeletons."""
    settings: tuple[str, ...]
    """Keys of [modalities.NAME] that it reads, besides those that every encoder reads."""
    builder: str
    """``module:function`` with the signature of ``vimix_adapters.encoders.building.EncoderBuilder``."""
    least_clip: tuple[int, int] = (1, 1)
    """Smallest clip that passes its poolings: (frames, side in pixels)."""
    torchvision: str = ""
    """The constructor of torchvision whose state dict is the encoder's, if there is one."""


ENCODERS: Mapping[str, EncoderEntry] = {
    entry.name: entry
    for entry in (
        EncoderEntry(
            name="s3d",
            maps="planes",
            settings=("channels", "width", "stages", "init"),
            builder="vimix_adapters.encoders.s3d:build_s3d",
            least_clip=(8, 32),
            torchvision="torchvision.models.video.s3d",
        ),
        EncoderEntry(
            name="stgcn",
            maps="graph",
            settings=("stgcn",),
            builder="vimix_adapters.encoders.stgcn:build_stgcn",
        ),
    )
}
"""All encoders by name."""


def encoders_for(maps: str) -> list[str]:
    """Names of the encoders with maps of one kind."""
    return [entry.name for entry in ENCODERS.values() if entry.maps == maps]


def _registered(_: Any, attribute: Any, name: str) -> None:
    if name not in ENCODERS:
        choices = ", ".join(map(repr, ENCODERS))
        raise ValueError(f"'{attribute.name}' expected one of {choices}, got {name!r}{nearest(name, ENCODERS)}")


@frozen
class Stgcn:
    """Settings of ST-GCN; the graph is that of the store. Defaults: a quarter of the original's channels."""

    hidden_channels: int = field(default=16, validator=ge(1))
    """Channels of the first four blocks; the next three have twice as many, then two four times."""
    feature_size: int = field(default=256, validator=ge(1))
    """Channels D of the last block."""
    dropout: float = field(default=0.5, validator=and_(ge(0), lt(1)))
    """Probability of dropout in every block but the first."""
    persons: Literal["present", "all"] = "present"
    """Persons that are averaged: those present, or, as in the peers' code, all bodies of the store."""
    hops: Literal["all", "one"] = "all"
    """Reach of the distances to the centre in the graph: "all" as in the paper, "one" as in the peers' code."""


@frozen
class ModalitySettings:
    """The encoder of one modality (section 7 of the method)."""

    encoder: str = field(default="s3d", validator=_registered)
    """Name of the encoder in ``ENCODERS``."""
    width: float = field(default=1.0, validator=and_(gt(0), le(1)))
    """Share of the encoder's channels."""
    channels: int = field(default=3, validator=ge(1))
    """Channels of the clips: 3 of pictures and skeletons, 2 of flow."""
    stages: Literal["blocks", "modules"] = "blocks"
    """Stages of S3D: its five resolution blocks (section 4), or its 16 modules."""
    init: Literal["torch", "normal"] = "torch"
    """Initial weights of S3D's convolutions: torch's default, or normal with standard deviation 0.01 (CoCLR)."""
    stgcn: Stgcn = Stgcn()
    """Settings of ST-GCN."""
    batch_norm_momentum: float = field(default=0.1, validator=and_(gt(0), le(1)))
    """Share of the batch's statistics in an update of BatchNorm's running statistics."""
    lr: float | None = field(default=None, validator=optional(gt(0)))
    """Learning rate of the modality's stages; None: that of [optim]."""

    @property
    def entry(self) -> EncoderEntry:
        """The encoder's entry in the registry."""
        return ENCODERS[self.encoder]
