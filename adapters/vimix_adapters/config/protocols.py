"""Evaluation protocols by name: every number that turns videos into scores, frozen.

``vimix`` is ours: nothing random, no setting chosen on test videos. ``coclr`` (Han et al. 2020, the released evaluation
code) and ``crosclr`` (Li et al. 2021) are the peers' published settings, for numbers that stand beside theirs.
"""

from collections.abc import Mapping
from typing import Literal

from attrs import asdict, evolve, field, frozen

from vimix_adapters.config.augment_settings import AugmentSettings
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.config.schema import Recipe


@frozen
class Protocol:
    """How videos become features, and features scores."""

    name: str
    source: str
    window_stride: Literal["half a window less one"] | int = "half a window less one"
    """Frames between two windows over the whole video."""
    windows_end: bool = True
    """A last window ends with the video; else its tail may be unseen."""
    padding: Literal["last frame", "first frame"] = "last frame"
    """What a video shorter than a window is filled up with: at its end, or before its start."""
    crop_share: float = 1.0
    """Side of the centred crop as a share of the frame's shorter side."""
    unit_clips: bool = False
    """Clip features are scaled to length 1 before they are averaged over a video."""
    centring: Literal["gallery", "each"] = "gallery"
    """Whose mean is subtracted in retrieval: the gallery's from both sides, or each side's own."""
    fusion: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over streams in classification; in retrieval it is similarities."""
    probe: LinearSgd | None = None
    """The linear layer on features; None: logistic regression with a penalty chosen on held-out training videos."""
    end_to_end: LinearSgd | None = None
    """The linear layer on augmented clips of a frozen encoder; None: there is no augmentation, so features will do."""
    end_to_end_augment: AugmentSettings = field(factory=AugmentSettings)
    differs: tuple[str, ...] = ()
    """Where this code does not follow the source."""


COCLR_END_TO_END = LinearSgd(
    lr=0.1, weight_decay=1e-3, batch=32, epochs=100, milestones=(60, 80), unit_features=True, batch_norm=True
)
COCLR_AUGMENT = AugmentSettings(grey=0.0, blur=0.0)
"""Crop of 20 to 100 % of the area, colour jitter, flip."""

PROTOCOLS: Mapping[str, Protocol] = {
    "vimix": Protocol(
        name="vimix",
        source="section 8 of the method; its end-to-end layer has CoCLR's numbers",
        end_to_end=COCLR_END_TO_END,
        end_to_end_augment=COCLR_AUGMENT,
    ),
    "coclr": Protocol(
        name="coclr",
        source="CoCLR's eval/main_classifier.py and eval/feature_linear_probe.py",
        windows_end=False,
        padding="first frame",
        crop_share=0.875,
        unit_clips=True,
        centring="each",
        probe=LinearSgd(lr=1.0, weight_decay=1e-3, batch=1024, epochs=100, milestones=(60, 80), batch_norm=True),
        end_to_end=COCLR_END_TO_END,
        end_to_end_augment=COCLR_AUGMENT,
        differs=(
            "no colour jitter on test clips (the source jitters them with probability 0.3)",
            "the last epoch is reported first (the source reports the best on test)",
            "two streams' similarities are averaged (the source adds them: the same order)",
        ),
    ),
    "crosclr": Protocol(
        name="crosclr",
        source="CrosSCLR's linear evaluation of ST-GCN",
        fusion="logits",
        probe=LinearSgd(lr=3.0, weight_decay=0.0, batch=128, epochs=100, milestones=(80,)),
        differs=(
            "the last epoch is reported first (the source reports the best on test)",
            "features are extracted once: without augmentation the frozen encoder gives the same in every epoch",
            "the source has no retrieval: that is protocol vimix's",
        ),
    ),
}


def protocol_of(recipe: Recipe) -> Protocol:
    """The recipe's protocol, with the window stride and the epochs that the recipe sets itself."""
    protocol = PROTOCOLS[recipe.evaluate.protocol]
    if recipe.evaluate.stride is not None:
        protocol = evolve(protocol, window_stride=recipe.evaluate.stride)
    if recipe.evaluate.linear_epochs is not None:
        protocol = evolve(
            protocol,
            probe=protocol.probe and _shortened(protocol.probe, recipe.evaluate.linear_epochs),
            end_to_end=protocol.end_to_end and _shortened(protocol.end_to_end, recipe.evaluate.linear_epochs),
        )
    return protocol


def changes(recipe: Recipe) -> list[str]:
    """Names of the numbers in which the recipe departs from its protocol."""
    published, used = asdict(PROTOCOLS[recipe.evaluate.protocol]), asdict(protocol_of(recipe))
    return [name for name in published if published[name] != used[name]]


def _shortened(layer: LinearSgd, epochs: int) -> LinearSgd:
    milestones = tuple(round(milestone * epochs / layer.epochs) for milestone in layer.milestones)
    return evolve(layer, epochs=epochs, milestones=milestones)
