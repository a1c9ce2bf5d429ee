"""Benchmarks of the input pipeline during training, and of the start of the command line."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import attrs
import numpy as np

from vimix.app.meter import DataTimer
from vimix.app.steps import Step
from vimix.ports.clips import TrainingClips
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.step_speed import bench_recipe
from vimix_adapters.benchmarks.timing import BenchSettings, Finding, Measure, seconds
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.config.store_settings import PackSettings

STARTS = 10
"""Number of timed starts."""


def pipeline(settings: BenchSettings) -> Iterator[Finding]:
    """Measure the share of a pretraining step that is spent waiting for its batch from a store on the disk."""
    yield _data_time("data_time", settings, workers=1)
    small = attrs.evolve(settings, batch=32, frames=16, size=48, width=0.25)
    yield _data_time("data_time, small clips", small if settings.size >= 128 else settings, workers=0)


def _data_time(name: str, settings: BenchSettings, workers: int) -> Measure:
    """Measure each step of one epoch, except for the first, which starts the workers."""
    shares, spent = [], []
    with tempfile.TemporaryDirectory() as folder:
        step, clips = _training(settings, workers, Path(folder) / "bench.h5")
        rng, waiting = np.random.default_rng(0), DataTimer(perf_counter)
        for batch in waiting.through(clips.batches(0)):
            begun = perf_counter()
            float(step(batch, rng).loss)
            spent.append(perf_counter() - begun)
            shares.append(100 * waiting.share())
    clips_read = f"{settings.batch} clips of {settings.frames} x {settings.size}² in two views"
    note = f"{clips_read}, cut from raw frames and augmented; workers = {workers}"
    note += f"; median of {len(shares) - 1} steps of {statistics.median(spent[1:]):.2g} s"
    return Measure(name, shares[1:], "% of the step", target=5.0, note=note)


def _training(settings: BenchSettings, workers: int, store_file: Path) -> tuple[Step, TrainingClips]:
    """Return a MoCo step, and its clips from a store of noise."""
    random_store(store_file, settings)
    base = bench_recipe(settings)
    recipe = attrs.evolve(base, data=attrs.evolve(base.data, store=str(store_file), workers=workers))
    compute, store = wiring.build_compute(recipe, settings.device), wiring.build_store(recipe)
    stage = wiring.build_stage(recipe, config.PretrainStage(pretrain=RGB))
    learner = wiring.build_learner(recipe, RGB, compute)
    step = wiring.build_step(recipe, stage, learner, {}, compute)
    return step, wiring.build_training_clips(recipe, store, stage.views_needed, 0, compute)


def start_up(settings: BenchSettings) -> Iterator[Finding]:
    """Time ``vimix --help`` in a new process."""
    command = [sys.executable, "-m", "vimix_adapters.cli.main", "--help"]

    def start() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def children() -> float:
        spent = os.times()
        return spent.children_user + spent.children_system

    clock = children if settings.clock == "cpu" else settings.now
    start()
    yield Measure(
        "vimix --help", [seconds(start, clock) for _ in range(STARTS)], "s", target=0.3, note=f"{STARTS} starts"
    )


def random_store(path: Path, settings: BenchSettings) -> None:
    """Write a raw store of noise. An epoch of its training split is one step to warm up and the timed steps."""
    rng = np.random.default_rng(0)
    packing = PackSettings(short_side=max(16, settings.size), codec="raw", flow="dis")
    entries = []
    for number in range(settings.batch * (1 + settings.pipeline_steps)):
        frames = rng.integers(0, 256, (settings.frames + 8, settings.size, settings.size, 3), dtype=np.uint8)
        part = path.with_name(f"{number}.part")
        write_part(part, {RGB: frames, FLOW: np.ascontiguousarray(frames[..., :2])}, 30.0, packing)
        entries.append(Entry(part, f"{number}.mp4", 0, str(number), ("train",)))
    merge_parts(path, entries, ["noise"], packing, 0)
