"""Classifiers as checkpoints hold them: the facts that a checkpoint records, and the network that they describe."""

import json

from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork, FrozenClassifier
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.wiring.networks import build_encoder, fitting
from vimix_adapters.wiring.recorded_settings import packing_record, recorded_packing, store_settings

CLASSES, UNIT_FEATURES = "classes", "unit_features"
"""Keys of ``Checkpoint.about``: names of the classes as JSON, and whether the layer scales features to length 1."""


def classifier_record(recipe: config.Recipe, store: VideoStore, settings: object) -> dict[str, str | int]:
    """The entries of ``Checkpoint.about`` with which a classifier can be used without its store."""
    unit = isinstance(settings, LinearSgd) and settings.unit_features
    packing = packing_record(store_settings(recipe.data.store))
    return {CLASSES: json.dumps(list(store.classes)), UNIT_FEATURES: int(unit), **packing}


def recorded_classes(checkpoint: Checkpoint) -> list[str]:
    """Names of the classes of a classifier; those of older checkpoints, which record none, are their numbers."""
    if CLASSES in checkpoint.about:
        return list(json.loads(str(checkpoint.about[CLASSES])))
    return [str(number) for number in range(len(checkpoint.parts["classifier"]["linear.bias"]))]


def build_recorded_classifier(recipe: config.Recipe, checkpoint: Checkpoint, compute: Compute) -> ClassifyingNetwork:
    """The classifier of a checkpoint. Raises VimixError if the checkpoint has none, or the recipe describes another."""
    if "classifier" not in checkpoint.parts:
        raise VimixError(
            f"this checkpoint of {checkpoint.modality} has no classifier, only {', '.join(checkpoint.parts)}: train "
            "one with vimix evaluate finetune (or linear-end-to-end), whose folder FILE/MODALITY holds it"
        )
    state = checkpoint.parts["classifier"]
    encoder = build_encoder(recipe, Modality(checkpoint.modality), recorded_packing(checkpoint.about))
    classes = len(state["linear.bias"])
    if checkpoint.about.get("stage") == "linear":  # trained on a frozen encoder
        unit = bool(checkpoint.about.get(UNIT_FEATURES, True))
        network: ClassifyingNetwork = FrozenClassifier(encoder, classes, unit, "norm.weight" in state, compute)
    else:
        network = ClassifyingNetwork(encoder, classes, 0.0, compute)
    with fitting(f"the classifier of {checkpoint.modality}", "its recipe"):
        network.load_state_dict(state)
    return network
