"""The composition root: from a recipe to the objects that do the work. The only place that names concrete classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vimix.app.finetune import SupervisedLearner, supervised_step
from vimix.app.learner import Learner
from vimix.app.steps import Step, cmmc_step, pretrain_step
from vimix.app.train import StageRun, TrainSettings
from vimix.domain.contrast.candidates import BatchAndQueue, Candidates, OwnKeyAndQueue, WithoutSiblings
from vimix.domain.contrast.queue import NegativeQueue
from vimix.domain.mixing.layers import LayerChoice, RandomLayer, SameLayer
from vimix.domain.mixing.policies import (
    CrossModalCutMix,
    CrossModalMixup,
    ManifoldMixup,
    MixPolicy,
    Mixup,
    NoMix,
    SpatioTemporalCutMix,
    TemporalCutMix,
    VideoMix,
)
from vimix.domain.schedule.stages import CmmcStage, PretrainStage, Stage, views_needed
from vimix.ports.clips import EvaluationClips, TrainingClips, VideoStore
from vimix.ports.metrics import MetricsSink
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.clips.augmentation import ClipAugmentation, FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.evaluation import WindowedClips, windows_of
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, PackSettings, formats_of
from vimix_adapters.clips.loader import TrainingLoader
from vimix_adapters.clips.views import CENTRE, TEN_CROPS, ClipShape, Crop
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.classifier import ClassifyingNetwork
from vimix_adapters.encoders.network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.encoders.s3d import S3DEncoder
from vimix_adapters.metrics.console import ProgressMetrics, Together
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.metrics.tensorboard import TensorBoardMetrics
from vimix_adapters.preparing import pack_frames
from vimix_adapters.probes.logistic import LogisticProbe

INPUT_POLICIES: Mapping[str, type[Mixup | TemporalCutMix | SpatioTemporalCutMix | VideoMix]] = {
    "mixup": Mixup,
    "temporal_cutmix": TemporalCutMix,
    "st_cutmix": SpatioTemporalCutMix,
    "videomix": VideoMix,
}
HIDDEN_POLICIES: Mapping[str, type[ManifoldMixup | CrossModalMixup]] = {
    "manifold_mixup": ManifoldMixup,
    "cm_mixup": CrossModalMixup,
}
CROPS: Mapping[str, tuple[Crop, ...]] = {"centre": (CENTRE,), "ten": TEN_CROPS}
LAYERS: Mapping[str, LayerChoice] = {"same": SameLayer(), "random": RandomLayer()}


def build_compute(recipe: config.Recipe, device: str) -> Compute:
    """The device by name (``auto``: a CUDA GPU where there is one) and the precision its hardware has."""
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise VimixError(f"--device {device}: expected auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise VimixError(f"--device {device}: torch finds no CUDA GPU; use --device cpu")
    fast = recipe.run.precision == "bfloat16" or (recipe.run.precision == "auto" and _has_bfloat16(chosen))
    return Compute(chosen, torch.bfloat16 if fast else torch.float32)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch.cpu.get_capabilities is younger than torch 2.11; without it float32 is the safe choice.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def build_store(recipe: config.Recipe) -> Hdf5VideoStore:
    """The recipe's store. Raises VimixError if the file is missing or lacks a modality of the recipe."""
    store = Hdf5VideoStore(Path(recipe.data.store))
    for name in recipe.modalities:
        if name not in store.formats:
            raise VimixError(
                f"{recipe.data.store} has no modality {name!r}, only {', '.join(store.formats)}: prepare it with "
                "--flow, or take it out of the recipe's [modalities]"
            )
    return store


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
        network.load_state_dict(dict(checkpoint.parts["query"]))
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


def build_finetuning(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    checkpoint: Checkpoint | None,
    folder: Path,
    compute: Compute,
) -> tuple[ClassifyingNetwork, StageRun]:
    """A classifier, and everything that ``vimix.app.train.train`` needs to train it."""
    settings = recipe.finetune
    classifier = build_classifier(recipe, modality, len(store.classes), checkpoint, compute)
    groups: list[dict[str, Any]] = [
        {"params": list(classifier.encoder.parameters()), "share": settings.encoder_share},
        {"params": list(classifier.linear.parameters())},
    ]
    adam = torch.optim.Adam(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    learner = SupervisedLearner(modality, classifier, TorchOptimiser(adam))
    seed = stage_seed(recipe, 0)
    clips = build_training_clips(recipe, store, {modality: 1}, seed, compute)
    steps = clips.steps * settings.epochs
    return classifier, StageRun(
        learner=learner,
        step=supervised_step(learner),
        clips=clips,
        settings=TrainSettings(
            epochs=settings.epochs,
            rate=settings.lr,
            milestones=settings.milestones,
            decay=settings.decay,
            seed=seed,
            log_every=recipe.run.log_every,
            checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
        ),
        metrics=metrics_in(folder, f"finetune-{modality}", steps),
        checkpoints=FolderCheckpointStore(folder),
        recipe=config.recipe_to_toml(recipe),
        about={
            "stage": "finetune",
            "init": "random" if checkpoint is None else str(checkpoint.about.get("stage", "?")),
            "epochs": settings.epochs,
            "steps_per_epoch": clips.steps,
            "seed": recipe.seed,
        },
    )


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


def build_input_policy(mix: config.InputMix) -> MixPolicy:
    """A policy of Table 1."""
    if mix.policy == "none":
        return NoMix()
    return INPUT_POLICIES[mix.policy](alpha=mix.alpha, per_sample=mix.per_sample)


def build_hidden_policy(mix: config.HiddenMix) -> MixPolicy:
    """A policy of Table 2."""
    if mix.policy == "cm_cutmix":
        return CrossModalCutMix(alpha=mix.alpha, per_sample=mix.per_sample, dims=mix.dims)
    return HIDDEN_POLICIES[mix.policy](alpha=mix.alpha, per_sample=mix.per_sample)


def build_stage(recipe: config.Recipe, stage: config.Stage) -> Stage:
    """A stage of a recipe's plan with its inherited settings filled in."""
    settings = recipe.stage(stage)
    if isinstance(stage, config.PretrainStage):
        assert isinstance(settings.mix, config.InputMix)
        modality = Modality(stage.pretrain)
        policy = build_input_policy(settings.mix)
        return PretrainStage(f"pretrain-{modality}", modality, settings.epochs, settings.milestones, policy)
    assert isinstance(settings.mix, config.HiddenMix)
    modality, partner = Modality(stage.cmmc), Modality(stage.partner)
    name = f"cmmc-{modality}-from-{partner}"
    policy, layers = build_hidden_policy(settings.mix), LAYERS[settings.mix.layers]
    return CmmcStage(name, modality, partner, settings.epochs, settings.milestones, policy, layers)


def build_augmentations(recipe: config.Recipe, store: VideoStore) -> dict[Modality, ClipAugmentation]:
    """Pictures or vector fields, by the format of the store."""
    return {
        Modality(name): FlowAugmentation(recipe.augment)
        if store.formats[Modality(name)].bound
        else PictureAugmentation(recipe.augment)
        for name in recipe.modalities
    }


def clip_shape(recipe: config.Recipe) -> ClipShape:
    """Frames, size and stride of a clip."""
    return ClipShape(recipe.data.frames, recipe.data.size, recipe.data.stride)


def build_training_clips(
    recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int], seed: int, compute: Compute
) -> TrainingClips:
    """Shuffled, augmented batches of the training split."""
    data = recipe.data
    return TrainingLoader(
        store,
        data.train_split,
        views=views,
        clip=clip_shape(recipe),
        batch=recipe.optim.batch,
        seed=seed,
        augmentations=build_augmentations(recipe, store),
        device=compute.device,
        workers=data.workers,
        max_bad_fraction=data.max_bad_fraction,
    )


def build_evaluation_clips(
    recipe: config.Recipe,
    store: VideoStore,
    videos: Sequence[int],
    modality: Modality,
    compute: Compute,
    crops: str = "centre",
) -> EvaluationClips:
    """Windows over the whole of each of the videos."""
    return WindowedClips(
        store,
        videos,
        modality=modality,
        clip=clip_shape(recipe),
        window_stride=window_stride(recipe),
        crops=CROPS[crops],
        device=compute.device,
        workers=recipe.data.workers,
    )


def window_stride(recipe: config.Recipe) -> int:
    """Frames between two evaluation windows: the recipe's, or half a window less one (CoCLR)."""
    chosen = recipe.evaluate.stride
    return chosen if chosen is not None else max(1, recipe.data.frames * recipe.data.stride // 2 - 1)


def build_probe(recipe: config.Recipe) -> LogisticProbe:
    """The linear probe."""
    return LogisticProbe(recipe.evaluate.probe_inverse_regularisation)


def build_stage_run(
    recipe: config.Recipe,
    stage: Stage,
    store: VideoStore,
    inits: Mapping[Modality, Checkpoint],
    folder: Path,
    compute: Compute,
    number: int = 0,
) -> StageRun:
    """Everything that ``vimix.app.train.train`` needs for one stage, going on from ``inits``."""
    learner = build_learner(recipe, stage.modality, compute)
    if stage.modality in inits:
        _take_over(learner, inits[stage.modality])
    clips = build_training_clips(recipe, store, views_needed(stage), stage_seed(recipe, number), compute)
    return StageRun(
        learner=learner,
        step=build_step(recipe, stage, learner, inits, compute),
        clips=clips,
        settings=build_train_settings(recipe, stage, number),
        metrics=metrics_in(folder, stage.name, clips.steps * stage.epochs),
        checkpoints=FolderCheckpointStore(folder),
        recipe=config.recipe_to_toml(recipe),
        about={"stage": stage.name, "epochs": stage.epochs, "steps_per_epoch": clips.steps, "seed": recipe.seed},
    )


def _take_over(learner: Learner, init: Checkpoint) -> None:
    try:
        learner.take_over(init.parts)
    except (RuntimeError, ValueError) as error:
        raise VimixError(
            f"the checkpoint of {init.modality} does not fit the recipe: {' '.join(str(error).split())[:300]}"
        ) from error


def stage_seed(recipe: config.Recipe, number: int) -> int:
    """Stage n of every arm sees the same data order and draws: arms are compared pairwise."""
    return int(np.random.SeedSequence((recipe.seed, number)).generate_state(1)[0])


def build_step(
    recipe: config.Recipe, stage: Stage, learner: Learner, inits: Mapping[Modality, Checkpoint], compute: Compute
) -> Step:
    """The training step of the stage."""
    if isinstance(stage, PretrainStage):
        return pretrain_step(learner, stage.policy)
    if stage.partner not in inits:
        raise VimixError(f"stage {stage.name} needs a trained {stage.partner} encoder: pretrain it first")
    partner = build_trained(recipe, inits[stage.partner], compute).eval().requires_grad_(False)
    return cmmc_step(learner, partner, stage.partner, stage.policy, stage.layers)


def build_train_settings(recipe: config.Recipe, stage: Stage, number: int) -> TrainSettings:
    """Length and learning rate of a stage."""
    decay = recipe.pretrain.decay if isinstance(stage, PretrainStage) else recipe.cmmc.decay
    return TrainSettings(
        epochs=stage.epochs,
        rate=recipe.optim.lr,
        milestones=stage.milestones,
        decay=decay,
        warmup_steps=recipe.optim.warmup_steps,
        seed=stage_seed(recipe, number),
        log_every=recipe.run.log_every,
        checkpoint_seconds=recipe.run.checkpoint_minutes * 60,
    )


def metrics_in(folder: Path, title: str, steps: int) -> MetricsSink:
    """Lines of JSON, TensorBoard events and a progress bar."""
    return Together(
        [
            JsonlMetrics(folder / "metrics.jsonl"),
            TensorBoardMetrics(folder / "tensorboard"),
            ProgressMetrics(steps, title),
        ]
    )


def sources_of(store: VideoStore) -> NDArray[np.int64]:
    """[N] int64: the store's recordings as numbers, siblings alike."""
    names = {source: number for number, source in enumerate(dict.fromkeys(video.source for video in store.videos))}
    return np.array([names[video.source] for video in store.videos], dtype=np.int64)


def build_file_clips(
    recipe: config.Recipe, video: Path, settings: PackSettings, modality: Modality, compute: Compute
) -> Tensor:
    """Evaluation clips [N, C, T, H, W] of a video file, prepared as a store with ``settings`` would have it."""
    try:
        frames, _ = pack_frames(video, settings)
    except VimixError as error:
        raise VimixError(f"{video}: {error}") from error
    kind = formats_of(settings)[modality]
    return windows_of(frames[modality], kind, clip_shape(recipe), window_stride(recipe), compute.device)[0]
