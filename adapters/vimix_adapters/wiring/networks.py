"""Builds encoders, networks, learners and optimisers, and says what a stage starts from.

A checkpoint may be incomplete: imported weights have no head or queue.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from zlib import crc32

import structlog
import torch
from attrs import evolve

from vimix.app.joint import JointLearner
from vimix.app.learner import Learner
from vimix.app.parallel import SINGLE_PROCESS
from vimix.domain.contrast.candidates import BatchAndQueue, Candidates, OwnKeyAndQueue, WithoutSiblings
from vimix.domain.contrast.finders import Finder, OwnKey
from vimix.domain.contrast.queue import NegativeQueue
from vimix.domain.schedule.stages import Stage
from vimix.ports.network import Classifier
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.config.store_settings import StoreSettings
from vimix_adapters.distributed.shared_network import SharedClassifier, SharedNetwork
from vimix_adapters.encoders.chain import StageChain, encoder_of
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork, FrozenClassifier
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.wiring.recorded_settings import recorded_packing, skeleton_settings

_log = structlog.get_logger()


def build_encoder(recipe: config.Recipe, modality: Modality, packing: StoreSettings | None = None) -> StageChain:
    """The encoder of one modality, with random weights. ``packing`` has ST-GCN's graph if the store does not exist."""
    settings = recipe.modalities[modality]
    layout = skeleton_settings(recipe, packing).layout if settings.entry.maps == "graph" else None
    return encoder_of(settings, layout)


def build_network(
    recipe: config.Recipe, modality: Modality, compute: Compute, packing: StoreSettings | None = None
) -> ContrastiveNetwork:
    """A network with random weights that depend only on the recipe's seed and the modality."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed * 1_000_003 + crc32(modality.encode()) % 1_000_003)
        encoder = build_encoder(recipe, modality, packing)
        return ContrastiveNetwork(encoder, recipe.contrast.embedding, recipe.contrast.bn_groups, compute)


def build_trained(recipe: config.Recipe, checkpoint: Checkpoint, compute: Compute) -> ContrastiveNetwork:
    """The query network of a checkpoint. Raises VimixError if the recipe describes another network.

    Settings that change no tensor (ST-GCN's persons and hops) are those of the checkpoint's own recipe.
    """
    recipe = _as_trained(recipe, checkpoint)
    network = build_network(recipe, Modality(checkpoint.modality), compute, recorded_packing(checkpoint.about))
    origin = f"the checkpoint of {checkpoint.modality} (stage {checkpoint.about.get('stage', '?')})"
    with fitting(origin, "the recipe's encoder"):
        network.load_state_dict(query_state(checkpoint, network.state_dict()))
    return network


def _as_trained(recipe: config.Recipe, checkpoint: Checkpoint | None) -> config.Recipe:
    """The recipe, with ST-GCN's settings that change no tensor taken from the checkpoint's recipe."""
    settings = recipe.modalities.get(checkpoint.modality) if checkpoint else None
    if checkpoint is None or settings is None or "stgcn" not in settings.entry.settings:
        return recipe
    origin = f"the recipe of the checkpoint of {checkpoint.modality}"
    trained = config.recipe_from_toml(checkpoint.recipe, origin, recorded=True).modalities[checkpoint.modality].stgcn
    own = evolve(settings.stgcn, persons=trained.persons, hops=trained.hops)
    if own != settings.stgcn:
        _log.info("encoder.as_trained", modality=checkpoint.modality, persons=own.persons, hops=own.hops)
    return evolve(recipe, modalities={**recipe.modalities, checkpoint.modality: evolve(settings, stgcn=own)})


def build_classifier(
    recipe: config.Recipe,
    modality: Modality,
    classes: int,
    checkpoint: Checkpoint | None,
    compute: Compute,
    group: ProcessGroup = SINGLE_PROCESS,
    layer: config.LinearSgd | None = None,
) -> ClassifyingNetwork:
    """A classifier on the encoder of a checkpoint, or, without one, on the random encoder of ``build_network``.

    With ``layer`` the encoder is frozen and ``group`` shares the layer's BatchNorm. Raises VimixError if the recipe
    describes another encoder than the checkpoint's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder = build_encoder(_as_trained(recipe, checkpoint), modality)
        if layer is None:
            settings = config.finetuning_of(recipe, modality)
            classifier = ClassifyingNetwork(encoder, classes, settings.dropout, compute, settings.bn_groups)
        else:
            classifier = FrozenClassifier(encoder, classes, layer.unit_features, layer.batch_norm, compute, group)
    state = checkpoint.trained if checkpoint else build_network(recipe, modality, compute).state_dict()
    with fitting(f"the checkpoint of {modality}", "the recipe's encoder"):
        classifier.load_encoder(state)
    return classifier


def distributed_classifier(classifier: ClassifyingNetwork, group: ProcessGroup) -> Classifier:
    """The classifier, trained with data parallelism if the group has several processes."""
    return SharedClassifier(classifier, group) if group.size > 1 else classifier


def build_stage_learner(
    recipe: config.Recipe, stage: Stage, compute: Compute, group: ProcessGroup, steps_per_epoch: int
) -> Learner | JointLearner:
    """The learner of a stage: of one modality, or of several that are trained at once."""
    if not stage.together:
        return build_learner(recipe, stage.modality, compute, group, stage.finder, stage.queued_partners)
    views = {m: build_learner(recipe, m, compute, group, stage.finder) for m in stage.trained}
    first = recipe.rate_of(stage.modality)
    parameters = [
        {"params": list(view.query.parameters()), "share": recipe.rate_of(m) / first} for m, view in views.items()
    ]
    optimiser = _optimiser(recipe.optim, parameters, group)
    views = {m: evolve(view, optimiser=optimiser) for m, view in views.items()}
    return JointLearner(views, optimiser, stage.finder, plain_steps=stage.plain_epochs * steps_per_epoch)


def build_learner(
    recipe: config.Recipe,
    modality: Modality,
    compute: Compute,
    group: ProcessGroup = SINGLE_PROCESS,
    finder: Finder | None = None,
    queued_partners: Sequence[Modality] = (),
) -> Learner:
    """Query and key networks with equal weights, an empty queue and a new optimiser; by default for one process.

    ``finder`` finds the positives (default: the own keys); the queue keeps keys of ``queued_partners`` for it.
    """
    query, key = (build_network(recipe, modality, compute) for _ in range(2))
    key.requires_grad_(False)
    shared = group.size > 1
    among: Candidates = WithoutSiblings() if recipe.contrast.mask_siblings else BatchAndQueue()
    return Learner(
        modality=modality,
        query=SharedNetwork(query, group) if shared else query,
        key=SharedNetwork(key, group, learns=False) if shared else key,
        queue=NegativeQueue(recipe.contrast.queue, recipe.contrast.embedding, compute.device, queued_partners),
        optimiser=_optimiser(recipe.optim, query.parameters(), group),
        candidates=OwnKeyAndQueue(among) if recipe.contrast.negatives == "queue" else among,
        momentum=recipe.contrast.momentum,
        temperature=recipe.contrast.temperature,
        group=group,
        finder=finder or OwnKey(),
    )


def _optimiser(optim: config.Optim, parameters: Any, group: ProcessGroup) -> TorchOptimiser:
    return build_optimiser(optim.name, parameters, optim.lr, optim.sgd_momentum, optim.weight_decay, group)


def build_optimiser(
    name: Literal["adam", "sgd"], parameters: Any, lr: float, momentum: float, weight_decay: float, group: ProcessGroup
) -> TorchOptimiser:
    """Fused Adam or SGD over the parameters, or groups of them; all ranks of a group skip a bad step together."""
    optimiser: torch.optim.Optimizer
    if name == "sgd":
        optimiser = torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)
    else:
        optimiser = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    return TorchOptimiser(optimiser, group.any if group.size > 1 else None)


@contextmanager
def fitting(what: str, to: str) -> Iterator[None]:
    """Turn the error of loading weights of other names or shapes into a VimixError: ``what`` does not fit ``to``."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise VimixError(f"{what} does not fit {to}: {' '.join(str(error).split())[:300]}") from error


def query_state(checkpoint: Checkpoint, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """State of the query network; an imported or finetuned encoder gets the head of the ``fresh`` network."""
    if "query" in checkpoint.parts and checkpoint.about.get("head") != "random":
        return dict(checkpoint.parts["query"])
    heads = {key: value for key, value in fresh.items() if not key.startswith("encoder.")}
    return {**{key: value for key, value in checkpoint.trained.items() if key.startswith("encoder.")}, **heads}


def inherited_parts(
    checkpoint: Checkpoint, fresh: Mapping[str, Mapping[str, Any]], data: str
) -> dict[str, Mapping[str, Any]]:
    """Query, key and queue of a checkpoint. A missing key gets the query's weights, a missing queue the fresh one.

    A queue of another size is replaced too, and one of another data set than that with fingerprint ``data``, because
    its entries number the recordings of that set (section 5 of the method). The classifier of a checkpoint that was
    trained with labels is left out, with a line in the log.
    """
    query = query_state(checkpoint, fresh["query"])
    parts, trained_on = checkpoint.parts, checkpoint.progress.origin.get("data")
    if "query" not in parts:
        _log.info("classifier.left_out", modality=checkpoint.modality, reason="the encoder gets a new projection head")
    queue = parts.get("queue", fresh["queue"])
    size, wanted = (len(state["keys"]) for state in (queue, fresh["queue"]))
    reason = (
        f"its keys are of other data ({trained_on})" if trained_on != data else f"it held {size} keys, not {wanted}"
    )
    if "queue" in parts and (trained_on != data or size != wanted):
        _log.info("queue.starts_empty", modality=checkpoint.modality, reason=reason)
        queue = fresh["queue"]
    # Keys of a partner beside them are of an encoder that has been trained since.
    queue = {name: value for name, value in queue.items() if name != "paired" and not name.startswith("keys.")}
    return {"query": query, "key": parts.get("key", query), "queue": queue}
