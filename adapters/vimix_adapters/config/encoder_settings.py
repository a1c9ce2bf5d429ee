"""The registry of encoders, and the settings of a modality's encoder.

A new encoder is one entry of ``ENCODERS`` and the function that its ``builder`` names; nothing else tests an encoder's
name. The registry is plain data: the module of a builder, and with it torch, is imported when a network is built.
"""

from collections.abc import Callable
from typing import Any, Literal

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from vimix_adapters.structuring import one_of


@frozen
class EncoderEntry:
    """One encoder: its name, the kind of its maps, the settings that it reads, and its builder."""

    name: str
    """Value of ``encoder`` in a recipe."""
    maps: Literal["planes", "graph"]
    """Axes of its clips and maps: [C, T, H, W] of pictures and flow, or [C, T, V, M] of skeletons."""
    settings: tuple[str, ...]
    """Keys of [modalities.NAME] that it reads, besides those that every encoder reads."""
    builder: str | Callable[..., Any]
    """``module:function``, or the function itself: a ``vimix_adapters.encoders.chain.EncoderBuilder``."""
    least_clip: tuple[int, int] = (1, 1)
    """Smallest clip that passes its poolings: (frames, side in pixels)."""
    torchvision: str = ""
    """``module:function``: the network of torchvision that has the encoder's weights at full width, if there is one."""


ENCODERS: dict[str, EncoderEntry] = {
    entry.name: entry
    for entry in (
        EncoderEntry(
            name="s3d",
            maps="planes",
            settings=("channels", "width", "stages", "init"),
            builder="vimix_adapters.encoders.s3d:build_s3d",
            least_clip=(8, 32),
            torchvision="torchvision.models.video:s3d",
        ),
        *(
            EncoderEntry(
                name=name,
                maps="planes",
                settings=("channels", "width"),
                builder="vimix_adapters.encoders.resnets:build_resnet",
                torchvision=f"torchvision.models.video:{name}",
            )
            for name in ("r3d_18", "mc3_18", "r2plus1d_18")
        ),
        EncoderEntry(
            name="stgcn",
            maps="graph",
            settings=("channels", "stgcn"),
            builder="vimix_adapters.encoders.stgcn:build_stgcn",
        ),
    )
}
"""All encoders by name."""


def register_encoder(entry: EncoderEntry) -> None:
    """Let recipes name an encoder of one's own, in this process, before they are read."""
    ENCODERS[entry.name] = entry


def encoders_for(maps: str) -> list[str]:
    """Names of the encoders with maps of one kind."""
    return [entry.name for entry in ENCODERS.values() if entry.maps == maps]


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
    """Persons that are averaged: those present, or, as in SkeletonCLR's code, all bodies of the store."""
    hops: Literal["all", "one"] = "all"
    """Reach of the distances to the centre in the graph: "all" as in the paper, "one" as in SkeletonCLR's code."""


@frozen
class ModalitySettings:
    """The encoder of one modality (section 7 of the method)."""

    encoder: str = field(default="s3d", validator=one_of(ENCODERS))
    """The encoder: "s3d", "r3d_18", "mc3_18", "r2plus1d_18", "stgcn", or one of your own."""
    width: float = field(default=1.0, validator=and_(gt(0), le(1)))
    """Share of the encoder's channels."""
    channels: int = field(default=3, validator=ge(1))
    """Channels of the clips: 3 of pictures, 2 of flow; 2 or 3 of skeletons: x y, x y score or x y z."""
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
    weights: str = ""
    """File of weights, as ``vimix import`` takes it, from which the first stage starts; empty: random weights."""

    @property
    def entry(self) -> EncoderEntry:
        """The encoder's entry in the registry."""
        return ENCODERS[self.encoder]
