"""The input pipeline under a training step, and the start of the command line."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import attrs
import numpy as np

from vimix.app.waiting import WaitingTime
from vimix.domain.schedule.stages import views_needed
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.settings import BenchSettings
from vimix_adapters.benchmarks.steps import bench_recipe
from vimix_adapters.benchmarks.timing import Finding, Measure, seconds
from vimix_adapters.clips.hdf5 import PackSettings
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part

STARTS = 10


def pipeline(settings: BenchSettings) -> Iterator[Finding]:
    """Share of a pretraining step spent waiting for its batch, the clips coming from a store on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        base = bench_recipe(settings)
        store_file = Path(folder) / "bench.h5"
        random_store(store_file, settings)
        recipe = attrs.evolve(base, data=attrs.evolve(base.data, store=str(store_file)))
        compute, store = wiring.build_compute(recipe, settings.device), wiring.build_store(recipe)
        stage = wiring.build_stage(recipe, config.PretrainStage(pretrain=RGB))
        learner = wiring.build_learner(recipe, RGB, compute)
        step = wiring.build_step(recipe, stage, learner, {}, compute)
        clips = wiring.build_training_clips(recipe, store, views_needed(stage), 0, compute)
        rng, shares = np.random.default_rng(0), []
        waiting = WaitingTime(perf_counter)
        for number, batch in enumerate(waiting.through(clips.batches(0))):
            float(step(batch, rng).loss)
            shares.append(100 * waiting.share())
            if number == settings.steps:
                break
    note = f"{recipe.data.workers} worker, raw frames of {settings.size} pixels, augmentation of two views included"
    yield Measure("data_time", shares[1:] or shares, "% of the step", target=5.0, note=note)


def start_up(settings: BenchSettings) -> Iterator[Finding]:
    """``vimix --help`` in a process of its own."""
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
    """A raw store of noise, all of it for training."""
    rng = np.random.default_rng(0)
    packing = PackSettings(short_side=max(16, settings.size), codec="raw", flow="dis")
    entries = []
    for number in range(settings.videos):
        frames = rng.integers(0, 256, (settings.frames + 8, settings.size, settings.size, 3), dtype=np.uint8)
        part = path.with_name(f"{number}.part")
        write_part(part, {RGB: frames, FLOW: np.ascontiguousarray(frames[..., :2])}, 30.0, packing)
        entries.append(Entry(part, f"{number}.mp4", 0, str(number), ("train",)))
    merge_parts(path, entries, ["noise"], packing, 0)
