"""Benchmark of S3D's steps by batch against plain ones: where the time goes, and how much of the device is used."""

from collections.abc import Callable, Iterator

import attrs
import numpy as np
import torch

from vimix.app.steps import Step
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.operations import flops, kernels, shares, traffic
from vimix_adapters.benchmarks.plain import PlainNetwork
from vimix_adapters.benchmarks.step_speed import bench_recipe, both_steps, plain_moco, random_batch
from vimix_adapters.benchmarks.timing import BenchSettings, Finding, Measure, Remark, TimedPair, interleaved
from vimix_adapters.encoders.contrastive_network import Compute

REFERENCES: dict[str, tuple[torch.dtype, bool, float]] = {
    "plain eager float32": (torch.float32, False, 4.0),
    "plain eager float32 with TF32": (torch.float32, True, 2.0),
    "plain bfloat16, channels_last_3d": (torch.bfloat16, False, 2.0),
}
"""Precision of a reference, whether TF32 is allowed, and how many times as fast vimix should be at batch 32."""
AIMED = 32
"""Batch that the targets are for."""


def throughput(settings: BenchSettings) -> Iterator[Finding]:
    """For each batch size, time a MoCo step against each reference, and a CMMC step against the MoCo step.

    A batch that does not fit into the memory of the device gives a remark.
    """
    for batch in settings.batches:
        try:
            yield from of_batch(attrs.evolve(settings, batch=batch))
        except torch.OutOfMemoryError:
            yield Remark(f"batch {batch}", "does not fit into the memory of the device")
            torch.cuda.empty_cache()


def of_batch(settings: BenchSettings) -> Iterator[Finding]:
    """Measure the steps of one batch, ``settings.batch``."""
    title, recipe = f"batch {settings.batch}", bench_recipe(settings)
    compute = wiring.build_compute(recipe, settings.device)
    moco, cmmc, _ = both_steps(recipe, compute)
    clips = random_batch(recipe, {RGB: 2, FLOW: 1}, compute)
    moco_step, cmmc_step = _on(clips, moco), _on(clips, cmmc)
    aimed, note = settings.batch == AIMED and settings.size >= 128, str(compute.dtype).removeprefix("torch.")
    if on_gpu := compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(compute.device)
    moco_step()
    peak = torch.cuda.max_memory_allocated(compute.device) / 2**30 if on_gpu else 0.0
    for name, (dtype, tf32, target) in REFERENCES.items():
        plain = _plain(recipe, clips, compute, dtype, tf32)
        theirs, ours = interleaved(plain, moco_step, settings.steps, settings.now)
        yield TimedPair(f"MoCo step, {title}", name, theirs, ours, target if aimed else None, note=note)
    yield Measure(f"clips a second, {title}", [settings.batch / spent for spent in ours], "clips/s")
    theirs, ours = interleaved(moco_step, cmmc_step, settings.cmmc_steps, settings.now)
    yield TimedPair(f"CMMC step, {title}", "MoCo step", theirs, ours, 1.25, faster=False, note="random layers k <= l")
    yield from _use(title, moco_step, theirs, compute.device)
    if on_gpu:
        yield Measure(f"memory, {title}", [peak], "GiB", note="largest sum of tensors in a MoCo step")


def _use(title: str, step: Callable[[], object], spent: list[float], device: torch.device) -> Iterator[Finding]:
    """Launches, operations and memory traffic of a MoCo step whose runs took the seconds ``spent``."""
    (count, spent_by_kind), operations, moved = kernels(step, device), flops(step), traffic(step)
    noun = "launches" if device.type == "cuda" else "operators"
    yield Measure(f"{noun} a step, {title}", [count], noun)
    yield Remark(f"time by kind, {title}", shares(spent_by_kind.items()))
    rates = [operations / seconds / 1e12 for seconds in spent]
    yield Measure(f"rate, {title}", rates, "TFLOP/s", note="convolutions and matrix products")
    bandwidth = [moved / seconds / 1e9 for seconds in spent]
    yield Measure(f"bandwidth, {title}", bandwidth, "GB/s", note="read and written by operators, caches not counted")


def _on(clips: ClipBatch, step: Step) -> Callable[[], float]:
    rng = np.random.default_rng(0)
    return lambda: float(step(clips, rng).loss)


def _plain(
    recipe: config.Recipe, clips: ClipBatch, compute: Compute, dtype: torch.dtype, tf32: bool
) -> Callable[[], float]:
    """The plain step in one precision; TF32, which torch allows to cuDNN by default, is set for its calls only."""
    plain = plain_moco(recipe, PlainNetwork(recipe.modalities[RGB]), compute, dtype)

    def step() -> float:
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            return plain.step(*clips.views[RGB])
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before

    return step
