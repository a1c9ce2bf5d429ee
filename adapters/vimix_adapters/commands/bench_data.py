"""``vimix bench-data``: clips a second out of a store by number of workers, and whether training would starve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen
from rich.console import Console
from rich.table import Table

from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands.step_timer import StepTimer
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.reports.environment import cores

SAMPLED = 20
"""Videos whose frames are measured."""
RESERVE = 1.1
"""A loader that is not a tenth faster than the step makes it wait now and then."""


@frozen
class Rate:
    """What one number of workers delivers."""

    workers: int
    clips: float
    """Videos of a batch a second, with all their views, as training counts them."""
    megabytes: float
    """Of the frames that were read, uncompressed, a second; 1 MB = 10^6 bytes."""
    first: float
    """Seconds until the first batch."""


@frozen
class Step:
    """A training step of the recipe."""

    stage: str
    clips: float
    """A second, if it never waits."""


@frozen
class Bench:
    """All that was measured."""

    store: str
    split: str
    views: Mapping[str, int]
    frames: int
    size: int
    batch: int
    device: str
    rates: Sequence[Rate]
    steps: Sequence[Step]
    advice: Sequence[str]


def bench(
    recipe: config.Recipe,
    stages: Sequence[config.Stage],
    workers: Sequence[int],
    seconds: float,
    device: str,
    console: Console,
    time_steps: bool,
) -> Bench:
    """Measure the training loader for ``seconds`` with each number of workers, for the stage that reads most.

    With ``time_steps`` also the steps of all stages. Raises VimixError if the store does not fit the recipe.
    """
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    built = {stage.name: stage for stage in (wiring.build_stage(recipe, stage) for stage in stages)}
    needed = max((stage.views_needed for stage in built.values()), key=lambda views: _clip_bytes(recipe, store, views))
    rates = []
    for number in workers:
        console.print(f"reading with {number} workers for {seconds:g} s ...")
        rates.append(_rate(recipe, store, needed, number, seconds, device))
    steps = []
    if time_steps:
        timer = StepTimer(recipe, compute)
        for name, stage in built.items():
            console.print(f"timing the step of {name} ...")
            steps.append(Step(name, recipe.optim.batch / timer.seconds(stage)))
    packed = store.settings
    short_side, codec = (packed.short_side, packed.codec) if isinstance(packed, PackSettings) else (0, "raw")
    return Bench(
        store=recipe.data.store,
        split=recipe.data.train_split,
        views={str(name): count for name, count in needed.items()},
        frames=recipe.data.frames,
        size=recipe.data.size,
        batch=recipe.optim.batch,
        device=str(compute.device),
        rates=rates,
        steps=steps,
        advice=advice(rates, steps, short_side, recipe.data.size, codec, cores()),
    )


def plain_recipe(
    store: Path, frames: int, size: int, batch: int, split: str | None, modality: str | None
) -> tuple[config.Recipe, config.Stage]:
    """A recipe for a store without one: pretraining on a modality, by default the store's first."""
    held = Hdf5VideoStore(store)
    chosen = modality or next(iter(held.formats))
    if chosen not in held.formats:
        raise VimixError(f"{store} holds {', '.join(held.formats)}, not {chosen!r}")
    channels = held.formats[Modality(chosen)].channels
    training = [name for name in held.splits if name.startswith("train")]
    split = split or next(iter(sorted(training) or held.splits))
    fitting = min(batch, len(held.members(split)))
    recipe = config.Recipe(
        name="bench-data",
        data=config.Data(store=str(store), train_split=split, frames=frames, size=size),
        modalities={chosen: config.ModalitySettings(channels=channels)},
        optim=config.Optim(batch=max(2, fitting)),
    )
    return recipe, config.PretrainStage(pretrain=chosen)


def stages_of(recipe: config.Recipe) -> list[config.Stage]:
    """All stages of the recipe's arms once, or pretraining on each modality where it has none."""
    stages = [stage for arm in recipe.arms.values() for stage in arm.stages]
    return stages or [config.PretrainStage(pretrain=name) for name in recipe.modalities]


def advice(
    rates: Sequence[Rate], steps: Sequence[Step], stored_side: int, size: int, codec: str, cores: int
) -> list[str]:
    """Which number of workers is enough for the fastest step, or what would help."""
    best = max(rates, key=lambda rate: rate.clips)
    if not steps:
        return [f"most with --workers {best.workers}: {best.clips:.0f} clips/s; --recipe RECIPE compares with training"]
    step = max(steps, key=lambda step: step.clips)
    enough = [rate for rate in rates if rate.clips >= RESERVE * step.clips]
    if enough:
        least = min(enough, key=lambda rate: rate.workers)
        return [
            f"the step of {step.stage} takes {step.clips:.1f} clips/s: data.workers = {least.workers} keeps up with "
            f"{least.clips:.1f}"
        ]
    lines = [f"the step of {step.stage} takes {step.clips:.1f} clips/s and would starve: at most {best.clips:.1f} come"]
    if max(rate.workers for rate in rates) < cores - 1:
        lines.append(f"more workers: this machine has {cores} cores, try --workers {cores - 1}")
    if codec == "jpeg":
        lines.append("prepare the store with --codec raw: larger, but nothing has to be decompressed")
    if stored_side > 1.5 * size:
        lines.append(
            f"prepare the store with --short-side {round(1.15 * size)}: its frames are {stored_side} pixels high"
        )
    if len(lines) == 1:
        lines.append("a faster disk or more cores: nothing else is left")
    return lines


def bench_table(measured: Bench) -> Table:
    """The rates for people."""
    views = ", ".join(f"{count} × {name}" for name, count in measured.views.items())
    clip = f"{measured.frames} frames of {measured.size} pixels, batch {measured.batch}"
    table = Table(title=f"{measured.store}, {measured.split}: {views}, {clip}, on {measured.device}")
    headings = (
        "workers",
        "clips/s",
        "MB/s",
        "first batch",
        *(f"{step.stage}: {step.clips:.1f}" for step in measured.steps),
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for rate in measured.rates:
        verdicts = ("keeps up" if rate.clips >= RESERVE * step.clips else "starves" for step in measured.steps)
        row = (str(rate.workers), f"{rate.clips:.1f}", f"{rate.megabytes:.0f}", f"{rate.first:.1f} s")
        table.add_row(*row, *verdicts)
    return table


def as_data(measured: Bench) -> dict[str, Any]:
    """The figures as plain data."""
    return {"format": "vimix-bench-data-1", **asdict(measured)}


def _rate(
    recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int], workers: int, seconds: float, device: str
) -> Rate:
    """Batches of epoch after epoch; the first one, for which workers are started, is counted by itself."""
    changed = evolve(recipe, data=evolve(recipe.data, workers=workers))
    clips = wiring.build_training_clips(changed, store, views, recipe.seed, wiring.build_compute(changed, device))
    begun, first, count, epoch = perf_counter(), 0.0, 0, 0
    while True:
        for batch in clips.batches(epoch):
            now = perf_counter()
            if not first:
                first, start = now - begun, now
                continue
            count += len(batch)
            if now - start >= seconds:
                rate = count / (now - start)
                return Rate(workers, rate, rate * _clip_bytes(recipe, store, views) / 1e6, first)
        epoch += 1


def _clip_bytes(recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int]) -> float:
    """Bytes of frames that are read for one video of a batch, all views."""
    span = (recipe.data.frames - 1) * recipe.data.stride + 1
    length = float(np.mean([min(span, video.frames) for video in store.videos]))
    chosen = np.linspace(0, len(store.videos) - 1, min(SAMPLED, len(store.videos)), dtype=int)
    sizes = {m: float(np.mean([store.read(int(v), m, 0, 1).nbytes for v in chosen])) for m in views}
    return sum(count * length * sizes[modality] for modality, count in views.items())
