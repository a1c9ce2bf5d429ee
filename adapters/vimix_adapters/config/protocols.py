"""Evaluation protocols by name: every number that decides how videos become scores.

``vimix`` is ours: it is deterministic and chooses no setting on test videos. ``coclr`` (Han et al. 2020, the released
evaluation code) and ``crosclr`` (Li et al. 2021) are the peers' published settings, for numbers to compare with theirs.
"""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import asdict, evolve, field, frozen

from vimix_adapters.config.augment_settings import AugmentSettings
from vimix_adapters.config.probe_settings import Finetuning, LinearSgd
from vimix_adapters.config.schema import Recipe

A1_PICTURES = Finetuning(optimiser="adam", lr=1e-3, weight_decay=1e-5, epochs=500, milestones=(417, 467))
"""A.1 of the paper for UCF101 and HMDB51: the optimiser of pretraining, its schedule lengthened to 500 epochs."""
A1_SKELETONS = Finetuning(optimiser="sgd", lr=0.1, weight_decay=1e-4, epochs=100, milestones=(80,))
"""A.1 of the paper for NTU RGB+D 60; momentum and weight decay are those of pretraining."""


@frozen
class Protocol:
    """Settings that turn videos into features and features into scores."""

    name: str
    source: str
    """Publication or code that the settings are from."""
    window_stride: Literal["half a window less one"] | int = "half a window less one"
    """Frames between two windows over the whole video."""
    windows_end: bool = True
    """Whether a last window ends with the video; otherwise its last frames may be unused."""
    padding: Literal["last frame", "first frame"] = "last frame"
    """The frame that pads a video shorter than a window: the last one at its end, or the first one at its start."""
    crop_share: float = 1.0
    """Side of the centre crop as a share of the frame's short side."""
    unit_clips: bool = False
    """Whether clip features are scaled to length 1 before they are averaged over a video."""
    centring: Literal["gallery", "each"] = "gallery"
    """The mean that retrieval subtracts: that of the gallery from both sides, or from each side its own."""
    fusion: Literal["probabilities", "logits"] = "probabilities"
    """Quantity that classification averages over streams; retrieval averages similarities."""
    probe: LinearSgd | None = None
    """Training of the linear layer on features; None: logistic regression, its penalty chosen on training videos."""
    end_to_end: LinearSgd | None = None
    """Training of the linear layer on a frozen encoder with augmented clips; None: the protocol has no augmentation."""
    end_to_end_augment: AugmentSettings = field(factory=AugmentSettings)
    """Augmentation of these clips."""
    finetuning: Mapping[str, Finetuning] = field(factory=lambda: {"planes": A1_PICTURES, "graph": A1_SKELETONS})
    """Training of encoder and layer by the kind of the encoder's maps; a recipe's [finetune] changes single numbers."""
    finetuning_augment: AugmentSettings | None = None
    """Augmentation of finetuning's clips; None: that of pretraining without blur."""
    differs: tuple[str, ...] = ()
    """Differences between this code and the source."""


COCLR_END_TO_END = LinearSgd(
    lr=0.1,
    weight_decay=1e-3,
    batch=64,
    epochs=100,
    milestones=(60, 80),
    unit_features=True,
    batch_norm=True,
    drop_last=True,
)
"""CoCLR trains on two GPUs with 32 clips each."""
COCLR_FINETUNING = Finetuning(
    optimiser="adam",
    lr=1e-3,
    weight_decay=1e-3,
    epochs=500,
    milestones=(400, 450),
    encoder_share=0.1,
    dropout=0.9,
)
COCLR_AUGMENT = AugmentSettings(jitter=0.3, grey=0.0, blur=0.0)
"""Crops of 20 to 100 % of the area, colour jitter in three clips of ten, and flips."""


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
        finetuning={"planes": COCLR_FINETUNING, "graph": A1_SKELETONS},
        finetuning_augment=COCLR_AUGMENT,
        differs=(
            "no colour jitter on clips for retrieval and probes (the source jitters them with probability 0.3)",
            "the last epoch is reported first (the source reports the best on test; it tests epochs 0, 5, ..., 95)",
            "two streams' similarities are averaged (the source adds them: the same order)",
            "flow is a field of vectors in two channels: flips negate u, crops scale u and v (the source treats it as "
            "pictures of three channels with ImageNet's statistics, and changes their colours too)",
            "the BatchNorm before the end-to-end layer sees all 64 clips (the source: the 32 of each GPU)",
            "the end-to-end layer and finetuning are tested after the last epoch (the source: after the epoch that is "
            "best on random crops of test videos)",
            "finetuning has the batch of the recipe (the source: 32 clips on each of two GPUs)",
            "crops are resized once, with antialiasing (the source: to 224, then to 128 pixels, bicubic); the "
            "logarithm of a random crop's aspect is uniform (the source: the aspect is, and sides are swapped at "
            "random)",
            "the jitter has one order (the source: a random one)",
            "pretraining with augment.views = 'coclr': grey is luma (the source copies one channel); short videos are "
            "padded at their end (the source: at their start; it leaves out those of up to 17 frames); the queue "
            "starts empty (the source: with random vectors)",
        ),
    ),
    "crosclr": Protocol(
        name="crosclr",
        source="CrosSCLR's linear evaluation of ST-GCN",
        fusion="logits",
        probe=LinearSgd(
            lr=3.0,
            weight_decay=0.0,
            batch=128,
            epochs=100,
            milestones=(80,),
            initial_std=0.02,
            drop_last=True,
            together=True,
            first_tested=4,
        ),
        differs=(
            "the last epoch is reported first (the source reports the best on test)",
            "features are extracted once: without augmentation the frozen encoder gives the same in every epoch",
            "the source has no retrieval and no finetuning: those are protocol vimix's",
            "pretraining as the source needs stgcn.persons = 'all', stgcn.hops = 'one' and a store made with --align "
            "crosclr; the queue starts empty (the source: with random vectors); heads have torch's initial weights, "
            "and key encoders start as copies (the source: N(0, 0.02²) for both, drawn for each)",
        ),
    ),
}


def protocol_of(recipe: Recipe) -> Protocol:
    """The protocol of the recipe, with the window stride and epochs that the recipe sets."""
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


def finetuning_of(recipe: Recipe, modality: str) -> Finetuning:
    """Settings of finetuning an encoder of the modality: the protocol's, changed by those of [finetune]."""
    return recipe.finetune.over(PROTOCOLS[recipe.evaluate.protocol].finetuning[recipe.modalities[modality].entry.maps])


def finetune_augment_of(recipe: Recipe) -> AugmentSettings:
    """The augmentation of pictures and flow in finetuning. Raises ValueError for values that contradict each other."""
    published = PROTOCOLS[recipe.evaluate.protocol].finetuning_augment
    given: dict[str, Any] = dict(recipe.finetune.augment)
    return evolve(published or evolve(recipe.augment, views="alike", blur=0.0), **given)


def changes(recipe: Recipe) -> list[str]:
    """Names of the settings that the recipe changes in its protocol."""
    published, used = asdict(PROTOCOLS[recipe.evaluate.protocol]), asdict(protocol_of(recipe))
    return [name for name in published if published[name] != used[name]]


def _shortened(layer: LinearSgd, epochs: int) -> LinearSgd:
    milestones = tuple(round(milestone * epochs / layer.epochs) for milestone in layer.milestones)
    return evolve(layer, epochs=epochs, milestones=milestones)
