"""``vimix bench-data``: clips per second read from a store by number of workers, and whether they suffice."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from attrs import asdict, evolve, frozen
from rich.table import Table

from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands.step_timer import StepTimer
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.reports.console import print_note, show_table
from vimix_adapters.reports.environment import cores

SAMPLED = 20
"""Number of videos whose frame size is measured."""
RESERVE = 1.1
"""How much faster than the step the loader must be, so that the step never waits."""


@frozen
class PlainClip:
    """The training clips to read without a recipe."""

    frames: int
    size: int
    """Side in pixels."""
    batch: int
    split: str | None
    """Split to read; None for the first that begins with ``train``."""
    modality: str | None
    """Modality to read two views of; None for the store's first."""


@frozen
class Rate:
    """The rate that a number of workers delivers."""

    workers: int
    clips: float
    """Videos per second, each with all its views, as training counts clips."""
    megabytes: float
    """Uncompressed frames read, in MB (10^6 bytes) per second."""
    first: float
    """Time until the first batch, in seconds."""


@frozen
class Step:
    """The speed of a training step of the recipe."""

    stage: str
    """Name of the stage."""
    clips: float
    """Clips per second if the step never waits."""


@frozen
class Bench:
    """All measurements of one call."""

    store: str
    split: str
    views: Mapping[str, int]
    """Number of views of each video by modality."""
    frames: int
    size: int
    batch: int
    device: str
    rates: Sequence[Rate]
    steps: Sequence[Step]
    advice: Sequence[str]
    """Sentences on the number of workers, or on what would help."""


def bench_store(
    store: Path,
    clip: PlainClip,
    workers: Sequence[int],
    seconds: float,
    recipe: config.Recipe | None,
    device: str,
    as_json: bool,
) -> None:
    """Print how fast clips can be read from ``store``: those of ``recipe``, with its steps, or else ``clip``.

    Raises VimixError if the store does not fit.
    """
    if recipe is None:
        chosen, stage = plain_recipe(store, clip)
        measured = bench(chosen, [stage], workers, seconds, device, time_steps=False)
    else:
        measured = bench(recipe, stages_of(recipe), workers, seconds, device, time_steps=True)
    if as_json:
        print(json.dumps(as_data(measured), indent=2))
        return
    show_table(bench_table(measured))
    for line in measured.advice:
        print(line)


def bench(
    recipe: config.Recipe,
    stages: Sequence[config.Stage],
    workers: Sequence[int],
    seconds: float,
    device: str,
    time_steps: bool,
) -> Bench:
    """Measure the training loader for ``seconds`` with each number of workers, for the stage that reads most.

    ``time_steps`` measures the steps of all stages too. Raises VimixError if the store does not fit the recipe.
    """
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    built = {stage.name: stage for stage in (wiring.build_stage(recipe, stage) for stage in stages)}
    needed = max((stage.views_needed for stage in built.values()), key=lambda views: _clip_bytes(recipe, store, views))
    rates = []
    for number in workers:
        print_note(f"reading with {number} workers for {seconds:g} s ...")
        rates.append(_rate(recipe, store, needed, number, seconds, device))
    steps = []
    if time_steps:
        timer = StepTimer(recipe, compute)
        for name, stage in built.items():
            print_note(f"timing the step of {name} ...")
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


def plain_recipe(store: Path, clip: PlainClip) -> tuple[config.Recipe, config.Stage]:
    """Return a recipe for a store without one, and its stage. Raises VimixError if the store lacks the modality."""
    opened = Hdf5VideoStore(store)
    chosen = clip.modality or next(iter(opened.formats))
    if chosen not in opened.formats:
        raise VimixError(f"{store} holds {', '.join(opened.formats)}, not {chosen!r}")
    channels = opened.formats[Modality(chosen)].channels
    training = [name for name in opened.splits if name.startswith("train")]
    split = clip.split or next(iter(sorted(training) or opened.splits))
    fitting = min(clip.batch, len(opened.members(split)))
    recipe = config.Recipe(
        name="bench-data",
        data=config.Data(store=str(store), train_split=split, frames=clip.frames, size=clip.size),
        modalities={chosen: config.ModalitySettings(channels=channels)},
        optim=config.Optim(batch=max(2, fitting)),
    )
    return recipe, config.PretrainStage(pretrain=chosen)


def stages_of(recipe: config.Recipe) -> list[config.Stage]:
    """Return the stages of all arms, or pretraining on each modality for a recipe without arms."""
    stages = [stage for arm in recipe.arms.values() for stage in arm.stages]
    return stages or [config.PretrainStage(pretrain=name) for name in recipe.modalities]


def advice(
    rates: Sequence[Rate], steps: Sequence[Step], stored_side: int, size: int, codec: str, cores: int
) -> list[str]:
    """Return the number of workers that suffices for the fastest step, or what would help, in sentences."""
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
    lines = [
        f"the step of {step.stage} takes {step.clips:.1f} clips/s and would wait: at most {best.clips:.1f} are read"
    ]
    if max(rate.workers for rate in rates) < cores - 1:
        lines.append(f"more workers: this machine has {cores} cores, try --workers {cores - 1}")
    if codec == "jpeg":
        lines.append("prepare the store with --codec raw: it is larger, but no frame has to be decompressed")
    if stored_side > 1.5 * size:
        lines.append(
            f"prepare the store with --short-side {round(1.15 * size)}: its frames are {stored_side} pixels high"
        )
    if len(lines) == 1:
        lines.append("use a faster disk or more cores")
    return lines


def bench_table(measured: Bench) -> Table:
    """Return the rates as a table for the console."""
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
        verdicts = ("keeps up" if rate.clips >= RESERVE * step.clips else "too slow" for step in measured.steps)
        row = (str(rate.workers), f"{rate.clips:.1f}", f"{rate.megabytes:.0f}", f"{rate.first:.1f} s")
        table.add_row(*row, *verdicts)
    return table


def as_data(measured: Bench) -> dict[str, Any]:
    """Return the measurements as plain data."""
    return {"format": "vimix-bench-data-1", **asdict(measured)}


def _rate(
    recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int], workers: int, seconds: float, device: str
) -> Rate:
    """The rate over batches of several epochs, without the first batch, which waits for the start of the workers."""
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
    """Bytes of the frames that are read for all views of one video."""
    span = (recipe.data.frames - 1) * recipe.data.stride + 1
    length = float(np.mean([min(span, video.frames) for video in store.videos]))
    chosen = np.linspace(0, len(store.videos) - 1, min(SAMPLED, len(store.videos)), dtype=int)
    sizes = {m: float(np.mean([store.read(int(v), m, 0, 1).nbytes for v in chosen])) for m in views}
    return sum(count * length * sizes[modality] for modality, count in views.items())
