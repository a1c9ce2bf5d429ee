"""Benchmarks of training steps of S3D and ST-GCN: vimix against plain PyTorch, CMMC against MoCo, cost of blending."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from vimix.app.learner import Learner
from vimix.app.steps import Step
from vimix.domain.contrast.finders import Finder, NearestInPartner
from vimix.domain.contrast.momentum import ema_update
from vimix.domain.mixing.blend import blend
from vimix.domain.mixing.policies import CrossModalCutMix
from vimix.values.checkpoint import Checkpoint
from vimix.values.clip_batch import ClipBatch
from vimix.values.grid import Grid
from vimix.values.mixing import MixPlan
from vimix.values.modality import FLOW, JOINT, RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.operations import top_operators
from vimix_adapters.benchmarks.plain import PlainMoco, PlainNetwork, masked_mix
from vimix_adapters.benchmarks.plain_stgcn import PlainSTGCN
from vimix_adapters.benchmarks.timing import (
    BenchSettings,
    Finding,
    Measure,
    Remark,
    TimedPair,
    Work,
    interleaved,
    seconds,
)
from vimix_adapters.encoders.contrastive_network import Compute

MAPS = ((64, 16, 64, 64), (192, 16, 32, 32), (480, 16, 16, 16), (832, 8, 8, 8))
"""[C, T, H, W] of S3D's maps at 32 x 128 x 128."""


def training_steps(settings: BenchSettings) -> Iterator[Finding]:
    """Time a MoCo step against the plain one, then CMMC steps, without and with mining, against a MoCo step."""
    recipe = bench_recipe(settings)
    compute = wiring.build_compute(recipe, settings.device)
    moco, cmmc, learner = both_steps(recipe, compute)
    mining = _cmmc(recipe, full_learner(recipe, RGB, compute, NearestInPartner()), compute)
    batch = random_batch(recipe, {RGB: 2, FLOW: 1}, compute)
    plain = plain_moco(recipe, PlainNetwork(recipe.modalities[RGB]), compute)
    generator = np.random.default_rng(0)
    moco_step, cmmc_step, mining_step = (
        lambda step=step: float(step(batch, generator).loss) for step in (moco, cmmc, mining)
    )
    theirs, ours = interleaved(lambda: plain.step(*batch.views[RGB]), moco_step, settings.steps, settings.now)
    note = (
        f"{settings.batch} clips of {settings.frames} x {settings.size}², {str(compute.dtype).removeprefix('torch.')}"
    )
    yield TimedPair("S3D MoCo step", "plain eager float32, default layout", theirs, ours, 3.0, note=note)
    yield Remark("S3D MoCo step", f"its operators: {top_operators(lambda: moco(batch, generator), compute.device)}")
    theirs, ours = interleaved(moco_step, cmmc_step, settings.cmmc_steps, settings.now)
    yield TimedPair("CMMC step", "MoCo step", theirs, ours, 1.25, faster=False, note="random layers k <= l")
    theirs, with_mining = interleaved(moco_step, mining_step, settings.cmmc_steps, settings.now)
    note = "random layers, 5 positives from the partner"
    yield TimedPair("CMMC step with mining", "MoCo step", theirs, with_mining, 1.35, faster=False, note=note)
    yield _blend_share(settings, learner, compute, sum(ours) / len(ours))
    yield from _updates(settings, learner)


def skeleton_steps(settings: BenchSettings) -> Iterator[Finding]:
    """Time a MoCo step against the plain one, on clips in which both persons are present."""
    recipe = skeleton_recipe(settings)
    compute = wiring.build_compute(recipe, settings.device)
    batch, learner = random_batch(recipe, {JOINT: 2}, compute), full_learner(recipe, JOINT, compute)
    plain = plain_moco(recipe, PlainSTGCN(recipe.modalities[JOINT].stgcn.dropout), compute)
    step = wiring.build_step(recipe, wiring.build_stage(recipe, config.PretrainStage(JOINT)), learner, {}, compute)
    generator = np.random.default_rng(0)
    theirs, ours = interleaved(
        lambda: plain.step(*batch.views[JOINT]),
        lambda: float(step(batch, generator).loss),
        settings.skeleton_steps,
        settings.now,
    )
    shape, precision = batch.views[JOINT][0].shape, str(compute.dtype).removeprefix("torch.")
    note = f"{shape[0]} clips of {shape[2]} frames, {shape[3]} joints and {shape[4]} persons, {precision}"
    yield TimedPair("ST-GCN MoCo step", "plain eager float32, default layout", theirs, ours, 2.0, note=note)
    yield Remark("ST-GCN MoCo step", f"its operators: {top_operators(lambda: step(batch, generator), compute.device)}")


def blending(settings: BenchSettings) -> Iterator[Finding]:
    """Time ``blend`` against the mask formula on feature maps of S3D, without and with the backward pass."""
    device = torch.device("cuda" if settings.device.startswith("cuda") else "cpu")
    for gradient in (False, True):
        theirs, ours = [], []
        for shape in MAPS if settings.size >= 128 else MAPS[-1:]:
            pair = _blend_pair(settings.batch, shape, device, gradient)
            one, two = interleaved(*pair, settings.repeats, settings.now)
            theirs.append(one)
            ours.append(two)
        both = [[sum(column) for column in zip(*side, strict=True)] for side in (theirs, ours)]
        title = "blend with gradient" if gradient else "blend"
        note = f"{len(theirs)} maps of S3D, " + ("each way one copy of the map" if gradient else "mask and donor given")
        target = None if gradient else 3.0
        yield TimedPair(title, "M*g1 + (1-M)*g2", both[0], both[1], target, note=note)


def bench_recipe(settings: BenchSettings) -> config.Recipe:
    """Return the paper's settings with the benchmark's sizes."""
    return config.Recipe(
        name="bench",
        data=config.Data(store="bench.h5", frames=settings.frames, size=settings.size, workers=1),
        modalities={
            RGB: config.ModalitySettings(width=settings.width),
            FLOW: config.ModalitySettings(width=settings.width, channels=2),
        },
        optim=config.Optim(batch=settings.batch),
    )


def skeleton_recipe(settings: BenchSettings) -> config.Recipe:
    """Return the pretraining of Table 5 (``experiments/table5-xsub.toml``) with the benchmark's batch size."""
    return config.Recipe(
        name="bench-skeletons",
        data=config.Data(store="", frames=50),
        modalities={JOINT: config.ModalitySettings(encoder="stgcn")},
        contrast=config.Contrast(queue=32768),
        optim=config.Optim(name="sgd", lr=0.1, sgd_momentum=0.9, weight_decay=1e-4, batch=settings.skeletons),
        pretrain=config.Pretrain(mix=config.InputMix(policy="none")),
    )


def plain_moco(
    recipe: config.Recipe, network: nn.Module, compute: Compute, dtype: torch.dtype = torch.float32
) -> PlainMoco:
    """Return the plain step that a recipe's pretraining step is compared with, for a plain network."""
    optim, network = recipe.optim, network.to(compute.device)
    optimiser: torch.optim.Optimizer
    if optim.name == "sgd":
        optimiser = torch.optim.SGD(network.parameters(), optim.lr, optim.sgd_momentum, weight_decay=optim.weight_decay)
    else:
        optimiser = torch.optim.Adam(network.parameters(), lr=optim.lr, weight_decay=optim.weight_decay)
    mixes = recipe.pretrain.mix.policy != "none"
    return PlainMoco(network, optimiser, recipe.contrast.bn_groups, recipe.contrast.queue, mixes, dtype)


def random_batch(recipe: config.Recipe, views: Mapping[Modality, int], compute: Compute) -> ClipBatch:
    """Return a batch of noise with the recipe's shapes. The time of a convolution does not depend on the values."""
    shapes = {modality: (recipe.optim.batch, *wiring.batch_shape(recipe, modality)) for modality in views}
    clips = {
        modality: tuple(torch.randn(shapes[modality]).to(compute.device) for _ in range(count))
        for modality, count in views.items()
    }
    numbers = torch.arange(recipe.optim.batch, device=compute.device)
    return ClipBatch(clips, numbers, numbers, numbers)


def full_learner(recipe: config.Recipe, modality: Modality, compute: Compute, finder: Finder | None = None) -> Learner:
    """Return a learner whose queue is full of random keys of no recording; a ``finder`` looks for positives in flow."""
    learner = wiring.build_learner(recipe, modality, compute, finder=finder, queued_partners=[FLOW] if finder else [])
    keys = torch.nn.functional.normalize(torch.randn(recipe.contrast.queue, recipe.contrast.embedding), dim=1)
    keys, nowhere = keys.to(compute.device), torch.full((len(keys),), -1, device=compute.device)
    learner.queue.enqueue(keys, nowhere, partner_keys={FLOW: keys})
    return learner


def both_steps(recipe: config.Recipe, compute: Compute) -> tuple[Step, Step, Learner]:
    """Return a MoCo step and a CMMC step of one learner, and the learner."""
    learner = full_learner(recipe, RGB, compute)
    stage = wiring.build_stage(recipe, config.PretrainStage(pretrain=RGB))
    moco = wiring.build_step(recipe, stage, learner, {}, compute)
    return moco, _cmmc(recipe, learner, compute), learner


def _cmmc(recipe: config.Recipe, learner: Learner, compute: Compute) -> Step:
    """Return the step of CMMC on RGB, with flow frozen."""
    partner = wiring.build_network(recipe, FLOW, compute).state_dict()
    inits = {FLOW: Checkpoint(FLOW, "", {"query": partner}, {})}
    stage = wiring.build_stage(recipe, config.CmmcStage(cmmc=RGB, partner=FLOW))
    return wiring.build_step(recipe, stage, learner, inits, compute)


def _updates(settings: BenchSettings, learner: Learner) -> Iterator[Finding]:
    """Time the updates of the parameters after a step's passes."""
    query = list(learner.query.parameters())
    keys = [parameter.detach().clone() for parameter in query]
    for parameter in query:
        parameter.grad = torch.ones_like(parameter)

    def loop() -> None:
        for key, parameter in zip(keys, query, strict=True):
            key.data = 0.999 * key.data + 0.001 * parameter.data

    theirs, ours = interleaved(loop, lambda: ema_update(keys, query, 0.999), settings.repeats, settings.now)
    yield TimedPair("key encoder's update", "a loop over parameters", theirs, ours, 1.0)
    plain, fused = torch.optim.Adam(query, foreach=False), torch.optim.Adam(query, fused=True)
    theirs, ours = interleaved(plain.step, fused.step, settings.repeats, settings.now)
    yield TimedPair("Adam, fused", "Adam, a loop over parameters", theirs, ours, 1.0)


def _blend_share(settings: BenchSettings, learner: Learner, compute: Compute, step: float) -> Measure:
    """Mean time of a blend, backward pass included, over the layers that a step draws from, as a share of the step."""
    clips = torch.zeros(1, 3, settings.frames, settings.size, settings.size, device=compute.device)
    shapes = [tuple(learner.query.hidden(clips, layer).shape[1:]) for layer in range(1, learner.query.depth)]
    blends = [_blend_pair(settings.batch, shape, compute.device, True, compute.dtype)[1] for shape in shapes]
    rounds = range(settings.repeats + 1)
    spent = [sum(seconds(work, settings.now) for work in blends) / len(blends) for _ in rounds][1:]
    note = "mean over layers 1 to L-1, gradient included, of a CMMC step's mean time"
    return Measure("share of blending in a step", [100 * s / step for s in spent], "%", target=2.0, note=note)


def _blend_pair(
    batch: int, shape: tuple[int, ...], device: torch.device, gradient: bool, dtype: torch.dtype = torch.float32
) -> tuple[Work, Work]:
    """Return the mask formula and ``blend`` on the same maps, with one box a row drawn by the paper's policy.

    Making the formula's mask and moving the donor's boxes to their targets is not timed.
    """
    g1, g2 = (
        torch.randn(batch, *shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last_3d)
        for _ in range(2)
    )
    g1.requires_grad_(gradient)
    grid = Grid.of(g1.shape)
    plan = CrossModalCutMix().plan(batch=batch, grid=grid, donor=grid, rng=np.random.default_rng(1))
    grad, (donor, mask) = torch.randn_like(g1), moved_boxes(g1, g2, plan)

    def passes(mix: Callable[[], Tensor]) -> None:
        mixed = mix()
        if gradient:
            mixed.backward(grad)  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
            g1.grad = None

    return lambda: passes(lambda: masked_mix(g1, donor, mask)), lambda: passes(lambda: blend(g1, g2, plan))


def moved_boxes(g1: Tensor, g2: Tensor, plan: MixPlan) -> tuple[Tensor, Tensor]:
    """Return the donor's maps with the boxes moved to their targets, and the mask M (1 where g1 is kept)."""
    assert plan.cut is not None
    donor, mask = torch.zeros_like(g1), torch.ones_like(g1)
    shifted = g2[torch.from_numpy(plan.partner)]
    for row in range(len(g1)):
        start, begin, extent = plan.cut.start[row], plan.cut.donor_start[row], plan.cut.extent[row]
        here = tuple(slice(int(a), int(a + n)) for a, n in zip(start, extent, strict=True))
        there = tuple(slice(int(a), int(a + n)) for a, n in zip(begin, extent, strict=True))
        donor[row][here] = shifted[row][there]
        mask[row][here] = 0
    return donor.detach(), mask.detach()
