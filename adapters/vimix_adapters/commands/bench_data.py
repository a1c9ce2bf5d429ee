"""``vimix bench-data``: clips per second read from a store by number of workers, and whether they suffice."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from attrs import asdict, evolve, frozen
from rich.table import Table

from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.commands.step_timer import StepTimer
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.reports.console import print_note, show_table, text_table
from vimix_adapters.reports.environment import cores

SAMPLED = 20
"""Number of videos whose frame size is measured."""
RESERVE = 1.1
"""How much faster than the step the loader must be, so that the step never waits."""


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


def bench_store(
    recipe: config.Recipe, workers: Sequence[int], seconds: float, device: str, time_steps: bool, as_json: bool
) -> None:
    """Print how fast training clips are read with each number of workers, for the stage of the recipe that reads most.

    ``seconds`` is the time to read for each number. ``time_steps`` times the steps of all stages too. Raises VimixError
    if the store does not fit the recipe.
    """
    compute, store, data = wiring.build_compute(recipe, device), wiring.build_store(recipe), recipe.data
    stages = {stage.name: stage for stage in (wiring.build_stage(recipe, stage) for stage in _stages(recipe))}
    needed = max((stage.views_needed for stage in stages.values()), key=lambda views: _clip_bytes(recipe, store, views))
    rates = [_rate(recipe, store, needed, number, seconds, device) for number in workers]
    steps = _steps(recipe, list(stages.values()), compute) if time_steps else []
    packed = store.settings
    short_side, codec, frames = 0, "raw", data.frames
    if isinstance(packed, PackSettings):
        short_side, codec = packed.short_side, packed.codec
    else:
        frames = packed.frames
    sentences = advice(rates, steps, short_side, data.size, codec, cores())
    clips = {
        "store": data.store,
        "split": data.train_split,
        "views": {str(name): count for name, count in needed.items()},
        "frames": frames,
        "size": data.size,
        "batch": recipe.optim.batch,
        "device": str(compute.device),
    }
    if as_json:
        speeds = {"rates": [asdict(rate) for rate in rates], "steps": [asdict(step) for step in steps]}
        print(json.dumps({"format": "vimix-bench-data-1", **clips, **speeds, "advice": sentences}, indent=2))
        return
    views = ", ".join(f"{count} × {name}" for name, count in needed.items())
    size = f" of {data.size} pixels" if short_side else ""
    clip = f"{frames} frames{size}, batch {recipe.optim.batch}"
    show_table(_table(f"{data.store}, {data.train_split}: {views}, {clip}, on {compute.device}", rates, steps))
    for line in sentences:
        print(line)


def plain_recipe(
    store: Path, frames: int, size: int, batch: int, split: str | None, modality: str | None
) -> config.Recipe:
    """Return a recipe for a store without one: pretraining on one modality, by default the store's first.

    The encoder is S3D, or ST-GCN for skeletons. ``split`` is by default the first that begins with ``train``. Raises
    VimixError if the store lacks the modality.
    """
    opened = Hdf5VideoStore(store)
    chosen = modality or next(iter(opened.formats))
    if chosen not in opened.formats:
        raise VimixError(f"{store} holds {', '.join(opened.formats)}, not {chosen!r}")
    kind = opened.formats[Modality(chosen)]
    encoder = "s3d" if kind.layout is None else "stgcn"
    training = [name for name in opened.splits if name.startswith("train")]
    split = split or next(iter(sorted(training) or opened.splits))
    fitting = min(batch, len(opened.members(split)))
    return config.Recipe(
        name="bench-data",
        data=config.Data(store=str(store), train_split=split, frames=frames, size=size),
        modalities={chosen: config.ModalitySettings(encoder=encoder, channels=kind.channels)},
        optim=config.Optim(batch=max(2, fitting)),
    )


def _stages(recipe: config.Recipe) -> list[config.Stage]:
    """The stages of all arms, or pretraining on each modality for a recipe without arms."""
    stages = [stage for arm in recipe.arms.values() for stage in arm.stages]
    return stages or [config.PretrainStage(pretrain=name) for name in recipe.modalities]


def _steps(recipe: config.Recipe, stages: Sequence[Stage], compute: Compute) -> list[Step]:
    timer, steps = StepTimer(recipe, compute), []
    for stage in stages:
        print_note(f"timing the step of {stage.name} ...")
        steps.append(Step(stage.name, recipe.optim.batch / timer.seconds(stage)))
    return steps


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


def _table(title: str, rates: Sequence[Rate], steps: Sequence[Step]) -> Table:
    headings = ["workers", "clips/s", "MB/s", "first batch", *(f"{step.stage}: {step.clips:.1f}" for step in steps)]
    rows = []
    for rate in rates:
        verdicts = ("keeps up" if rate.clips >= RESERVE * step.clips else "too slow" for step in steps)
        rows.append([str(rate.workers), f"{rate.clips:.1f}", f"{rate.megabytes:.0f}", f"{rate.first:.1f} s", *verdicts])
    return text_table(headings, rows, "r", title)


def _rate(
    recipe: config.Recipe, store: VideoStore, views: Mapping[Modality, int], workers: int, seconds: float, device: str
) -> Rate:
    """The rate over batches of several epochs, without the first batch, which waits for the start of the workers."""
    print_note(f"reading with {workers} workers for {seconds:g} s ...")
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
    chosen = np.linspace(0, len(store.videos) - 1, min(SAMPLED, len(store.videos)), dtype=int)
    total = 0.0
    for modality, count in views.items():
        kind = store.formats[modality]  # of skeletons, the whole sequence is read
        length = np.mean([min(span, v.frames) if kind.layout is None else v.frames for v in store.videos])
        frame = np.mean([store.read(int(v), kind.stored, 0, 1).nbytes for v in chosen])
        total += count * float(length) * float(frame)
    return total
