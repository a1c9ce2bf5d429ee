"""Encoders, networks, and what learns with them."""

from collections.abc import Callable
from zlib import crc32

import torch
from torch import Tensor

from vimix.app.learner import Learner
from vimix.app.team import Alone
from vimix.domain.contrast.candidates import BatchAndQueue, Candidates, OwnKeyAndQueue, WithoutSiblings
from vimix.domain.contrast.queue import NegativeQueue
from vimix.ports.network import Classifier
from vimix.ports.team import Team
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import StoreSettings
from vimix_adapters.distributed.classifier import SharedClassifier
from vimix_adapters.distributed.network import SharedNetwork
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.classifier import ClassifyingNetwork
from vimix_adapters.encoders.network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.encoders.s3d import S3DEncoder
from vimix_adapters.encoders.stgcn import STGCNEncoder
from vimix_adapters.wiring.inheriting import query_state
from vimix_adapters.wiring.packing import recorded_packing
from vimix_adapters.wiring.skeletons import skeleton_settings


def build_encoder(recipe: config.Recipe, modality: Modality, packing: StoreSettings | None = None) -> StageChain:
    """The encoder of one modality, with random weights. ``packing`` has ST-GCN's graph if the store does not exist."""
    settings = recipe.modalities[modality]
    if settings.encoder == "stgcn":
        return STGCNEncoder(
            skeleton_settings(recipe, packing).layout,
            settings.stgcn.hidden_channels,
            settings.stgcn.feature_size,
            settings.stgcn.dropout,
            settings.stgcn.persons,
            settings.batch_norm_momentum,
            settings.stgcn.hops,
        )
    return build_s3d(settings)


def build_s3d(settings: config.ModalitySettings) -> S3DEncoder:
    """S3D, which needs to know nothing of the store."""
    return S3DEncoder(settings.channels, settings.width, settings.batch_norm_momentum, settings.stages)


def build_network(
    recipe: config.Recipe, modality: Modality, compute: Compute, packing: StoreSettings | None = None
) -> ContrastiveNetwork:
    """A network with random weights that depend on the recipe's seed and the modality alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed * 1_000_003 + crc32(modality.encode()) % 1_000_003)
        encoder = build_encoder(recipe, modality, packing)
        return ContrastiveNetwork(encoder, recipe.contrast.embedding, recipe.contrast.bn_groups, compute)


def build_trained(recipe: config.Recipe, checkpoint: Checkpoint, compute: Compute) -> ContrastiveNetwork:
    """The query network of a checkpoint. Raises VimixError if the recipe describes another network."""
    network = build_network(recipe, Modality(checkpoint.modality), compute, recorded_packing(checkpoint.about))
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        settings, encoder = recipe.finetune, build_encoder(recipe, modality)
        classifier = ClassifyingNetwork(encoder, classes, settings.dropout, compute, settings.bn_groups)
    load_pretrained(classifier, recipe, modality, checkpoint, compute)
    return classifier


def load_pretrained(
    classifier: ClassifyingNetwork,
    recipe: config.Recipe,
    modality: Modality,
    checkpoint: Checkpoint | None,
    compute: Compute,
) -> None:
    """Give a classifier the encoder of a checkpoint, or ``build_network``'s random weights if there is none.

    Raises VimixError if the recipe describes another encoder than the checkpoint's.
    """
    state = checkpoint.parts["query"] if checkpoint else build_network(recipe, modality, compute).state_dict()
    try:
        classifier.load_encoder(state)
    except RuntimeError as error:
        raise VimixError(
            f"the checkpoint of {modality} does not fit the recipe's encoder: {' '.join(str(error).split())[:300]}"
        ) from error


def spread(classifier: ClassifyingNetwork, team: Team) -> Classifier:
    """The classifier, trained together with the copies of it that the other members have."""
    return SharedClassifier(classifier, team) if team.size > 1 else classifier


def build_learner(recipe: config.Recipe, modality: Modality, compute: Compute, team: Team | None = None) -> Learner:
    """Query and key networks with equal weights, an empty queue and a fresh optimiser; without a team, alone."""
    query, key = (build_network(recipe, modality, compute) for _ in range(2))
    key.requires_grad_(False)
    team = team or Alone()
    shared = team.size > 1
    return Learner(
        modality=modality,
        query=SharedNetwork(query, team) if shared else query,
        key=SharedNetwork(key, team, learns=False) if shared else key,
        queue=NegativeQueue(recipe.contrast.queue, recipe.contrast.embedding, compute.device),
        optimiser=build_optimiser(recipe, query, team),
        candidates=build_candidates(recipe.contrast),
        momentum=recipe.contrast.momentum,
        temperature=recipe.contrast.temperature,
        team=team,
    )


def build_optimiser(recipe: config.Recipe, network: torch.nn.Module, team: Team | None = None) -> TorchOptimiser:
    """Adam or SGD over all parameters, fused; the members of a team skip a bad step together."""
    optim, either = recipe.optim, together(team or Alone())
    if optim.name == "sgd":
        sgd = torch.optim.SGD(
            network.parameters(), lr=optim.lr, momentum=optim.sgd_momentum, weight_decay=optim.weight_decay, fused=True
        )
        return TorchOptimiser(sgd, either)
    adam = torch.optim.Adam(network.parameters(), lr=optim.lr, weight_decay=optim.weight_decay, fused=True)
    return TorchOptimiser(adam, either)


def together(team: Team) -> Callable[[Tensor], Tensor] | None:
    """How an optimiser learns whether others skip the step; alone there is nobody to ask."""
    return team.either if team.size > 1 else None


def build_candidates(contrast: config.Contrast) -> Candidates:
    """Which keys a query is compared with."""
    among = WithoutSiblings() if contrast.mask_siblings else BatchAndQueue()
    return OwnKeyAndQueue(among) if contrast.negatives == "queue" else among
