"""Training steps of ST-GCN: vimix's against plain eager."""

from collections.abc import Iterator

import numpy as np
import torch

from vimix.app.learner import Learner
from vimix.values.clips import ClipBatch
from vimix.values.modality import JOINT
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.bench_settings import BenchSettings
from vimix_adapters.benchmarks.plain import PlainMoco
from vimix_adapters.benchmarks.plain_stgcn import PlainSTGCN
from vimix_adapters.benchmarks.timing import Finding, Remark, TimedPair, interleaved, top_operators
from vimix_adapters.encoders.contrastive_network import Compute

STEP = "ST-GCN MoCo step"


def skeleton_steps(settings: BenchSettings) -> Iterator[Finding]:
    """A MoCo step on pairs of persons, who are all there, against plain eager's."""
    recipe = skeleton_recipe(settings)
    compute = wiring.build_compute(recipe, settings.device)
    batch, plain, learner = (
        random_skeletons(recipe, compute),
        plain_moco(recipe, compute),
        full_learner(recipe, compute),
    )
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
    yield TimedPair(STEP, "plain eager float32, default layout", theirs, ours, 2.0, note=note)
    yield Remark(STEP, f"its operators: {top_operators(lambda: step(batch, generator), compute.device)}")


def skeleton_recipe(settings: BenchSettings) -> config.Recipe:
    """Pretraining of Table 5 (``experiments/table5-xsub.toml``) with a smaller batch."""
    return config.Recipe(
        name="bench-skeletons",
        data=config.Data(store="", frames=50),
        modalities={JOINT: config.ModalitySettings(encoder="stgcn")},
        contrast=config.Contrast(queue=32768),
        optim=config.Optim(name="sgd", lr=0.1, sgd_momentum=0.9, weight_decay=1e-4, batch=settings.skeletons),
        pretrain=config.Pretrain(mix=config.InputMix(policy="none")),
    )


def random_skeletons(recipe: config.Recipe, compute: Compute) -> ClipBatch:
    """Two views of noise of the right shape."""
    shape = (recipe.optim.batch, *wiring.batch_shape(recipe, JOINT))
    views = tuple(torch.randn(shape).to(compute.device) for _ in range(2))
    numbers = torch.arange(recipe.optim.batch, device=compute.device)
    return ClipBatch({JOINT: views}, numbers, numbers, numbers)


def plain_moco(recipe: config.Recipe, compute: Compute) -> PlainMoco:
    """What the step is compared with."""
    optim = recipe.optim
    network = PlainSTGCN(recipe.modalities[JOINT].stgcn.dropout).to(compute.device)
    sgd = torch.optim.SGD(network.parameters(), optim.lr, optim.sgd_momentum, weight_decay=optim.weight_decay)
    return PlainMoco(network, sgd, recipe.contrast.bn_groups, recipe.contrast.queue, mixes=False)


def full_learner(recipe: config.Recipe, compute: Compute) -> Learner:
    """A learner whose queue is full, of keys of no recording."""
    learner = wiring.build_learner(recipe, JOINT, compute)
    keys = torch.nn.functional.normalize(torch.randn(recipe.contrast.queue, recipe.contrast.embedding), dim=1)
    learner.queue.enqueue(keys.to(compute.device), torch.full((len(keys),), -1, device=compute.device))
    return learner
