"""Encoders, networks, and what learns with them."""

from zlib import crc32

import torch

from vimix.app.learner import Learner
from vimix.domain.contrast.candidates import BatchAndQueue, Candidates, OwnKeyAndQueue, WithoutSiblings
from vimix.domain.contrast.queue import NegativeQueue
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.classifier import ClassifyingNetwork
from vimix_adapters.encoders.network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.encoders.s3d import S3DEncoder
from vimix_adapters.wiring.inheriting import query_state


def build_encoder(modality: config.ModalitySettings) -> StageChain:
    """The encoder of one modality, with random weights."""
    return S3DEncoder(modality.channels, modality.width, modality.batch_norm_momentum)


def build_network(recipe: config.Recipe, modality: Modality, compute: Compute) -> ContrastiveNetwork:
    """A network with random weights that depend on the recipe's seed and the modality alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed * 1_000_003 + crc32(modality.encode()) % 1_000_003)
        encoder = build_encoder(recipe.modalities[modality])
        return ContrastiveNetwork(encoder, recipe.contrast.embedding, recipe.contrast.bn_groups, compute)


def build_trained(recipe: config.Recipe, checkpoint: Checkpoint, compute: Compute) -> ContrastiveNetwork:
    """The query network of a checkpoint. Raises VimixError if the recipe describes another network."""
    network = build_network(recipe, Modality(checkpoint.modality), compute)
    try:
        network.load_state_dict(query_state(checkpoint, network.state_dict()))
    except RuntimeError as error:
        raise VimixError(
            f"the checkpoint of {checkpoint.modality} (stage {checkpoint.about.get('stage', '?')}) does not fit the "
            f"recipe's encoder: {' '.join(str(error).split())[:300]}"
        ) from error
    return network


def build_classifier(
    recipe: config.Recipe, modality: Modality, classes: int, checkpoint: Checkpoint | None, compute: Compute
) -> ClassifyingNetwork:
    """A classifier over the encoder of a checkpoint; without one its encoder has ``build_network``'s random weights.

    Raises VimixError if the recipe describes another encoder than the checkpoint's.
    """
    source = build_network(recipe, modality, compute) if checkpoint is None else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        classifier = ClassifyingNetwork(
            build_encoder(recipe.modalities[modality]), classes, recipe.finetune.dropout, compute
        )
    state = checkpoint.parts["query"] if checkpoint is not None else source.state_dict() if source else {}
    try:
        classifier.load_encoder(state)
    except RuntimeError as error:
        raise VimixError(
            f"the checkpoint of {modality} does not fit the recipe's encoder: {' '.join(str(error).split())[:300]}"
        ) from error
    return classifier


def build_learner(recipe: config.Recipe, modality: Modality, compute: Compute) -> Learner:
    """Query and key networks with equal weights, an empty queue and a fresh optimiser."""
    query, key = (build_network(recipe, modality, compute) for _ in range(2))
    key.requires_grad_(False)
    return Learner(
        modality=modality,
        query=query,
        key=key,
        queue=NegativeQueue(recipe.contrast.queue, recipe.contrast.embedding, compute.device),
        optimiser=build_optimiser(recipe, query),
        candidates=build_candidates(recipe.contrast),
        momentum=recipe.contrast.momentum,
        temperature=recipe.contrast.temperature,
    )


def build_optimiser(recipe: config.Recipe, network: torch.nn.Module) -> TorchOptimiser:
    """Adam or SGD over all parameters."""
    optim = recipe.optim
    if optim.name == "sgd":
        sgd = torch.optim.SGD(
            network.parameters(), lr=optim.lr, momentum=optim.sgd_momentum, weight_decay=optim.weight_decay
        )
        return TorchOptimiser(sgd)
    return TorchOptimiser(
        torch.optim.Adam(network.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True)
    )


def build_candidates(contrast: config.Contrast) -> Candidates:
    """Which keys a query is compared with."""
    if contrast.negatives == "queue":
        return OwnKeyAndQueue()
    return WithoutSiblings() if contrast.mask_siblings else BatchAndQueue()
