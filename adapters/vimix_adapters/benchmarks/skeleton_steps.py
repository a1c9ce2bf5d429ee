"""Benchmark of ST-GCN's training step: vimix against plain PyTorch."""

from collections.abc import Iterator

import numpy as np

from vimix.values.modality import JOINT
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.operations import top_operators
from vimix_adapters.benchmarks.plain_stgcn import PlainSTGCN
from vimix_adapters.benchmarks.s3d_steps import full_learner, plain_moco, random_batch
from vimix_adapters.benchmarks.timing import BenchSettings, Finding, Remark, TimedPair, interleaved

STEP = "ST-GCN MoCo step"


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
    yield TimedPair(STEP, "plain eager float32, default layout", theirs, ours, 2.0, note=note)
    yield Remark(STEP, f"its operators: {top_operators(lambda: step(batch, generator), compute.device)}")


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
