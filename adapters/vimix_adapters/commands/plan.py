"""``vimix run --plan``: what a recipe would do, and about how long it would take here."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from attrs import evolve, frozen
from rich.table import Table

from vimix.app.provenance import require_provenance
from vimix.app.steps import cmmc_step, pretrain_step
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.mixing.policies import CrossModalCutMix, Mixup
from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.clips import ClipBatch
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.clips.loader import require_clips
from vimix_adapters.commands import scores
from vimix_adapters.commands.stage_folders import StageFolders
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.reports.console import show_table

TIMED_CLIPS = 4
"""Clips in the batch that is timed; a step of the recipe's batch takes in proportion."""


@frozen
class PlannedStage:
    """One line of the plan."""

    arm: str
    name: str
    epochs: int
    steps: int | None
    """None while there is no store to count videos in."""
    seconds: float | None
    bytes: int
    """Of its two checkpoints."""
    done: bool
    trained_in: str = ""
    """The earlier arm that trains the same stage; this one takes its weights."""

    @property
    def state(self) -> str:
        """For people."""
        return "finished" if self.done else f"as in {self.trained_in}" if self.trained_in else "to do"


def print_plan(recipe: config.Recipe, out: Path, device: str, seeds: int = 1) -> None:
    """Print stages, epochs, steps, disk and an estimate of time from two timed steps of each kind.

    Of several seeds the first is shown; the others take as long each.
    """
    compute = wiring.build_compute(recipe, device)
    planned = plan(recipe, out, compute)
    table = Table(title=f"{recipe.name} on {compute.device} in {str(compute.dtype).removeprefix('torch.')}")
    for heading in ("arm", "stage", "epochs", "steps", "disk", "time", "state"):
        table.add_column(heading, justify="left" if heading in ("arm", "stage", "state") else "right")
    for stage in planned:
        table.add_row(
            stage.arm,
            stage.name,
            str(stage.epochs),
            "?" if stage.steps is None else str(stage.steps),
            _megabytes(stage.bytes),
            _duration(stage.seconds),
            stage.state,
        )
    own = [stage for stage in planned if not stage.trained_in]
    open_stages = [stage for stage in own if not stage.done]
    table.caption = f"to do: {_duration(_total(open_stages))}, disk {_megabytes(sum(s.bytes for s in own))}"
    if seeds > 1:
        table.caption += f"; {seeds} seeds, each as much"
    show_table(table)
    if any(stage.steps is None for stage in planned):
        print(f"steps and time need the store: {recipe.data.store} does not exist yet")
    for name in _missing(recipe):
        print(f"evaluate.stores.{name}: {recipe.evaluate.stores[name].store} does not exist yet; no run begins without")


def plan(recipe: config.Recipe, out: Path, compute: Compute) -> list[PlannedStage]:
    """The stages of all arms, in order. Nothing is written.

    Raises VimixError if there is a store, but it fills no batch, lacks a modality or is not the one begun with, or if
    nothing can be scored on it or on one of [evaluate.stores].
    """
    store = wiring.build_store(recipe) if Path(recipe.data.store).exists() else None
    _require_scorable(recipe, store)
    steps_per_epoch = None if store is None else _steps_per_epoch(recipe, store)
    timer = StepTimer(recipe, compute)
    places = StageFolders(recipe, out)
    planned = []
    for arm, settings in recipe.arms.items():
        for number, chosen in enumerate(settings.stages):
            stage = wiring.build_stage(recipe, chosen)
            steps = None if steps_per_epoch is None else steps_per_epoch * stage.epochs
            folder = places.owner(arm, number, stage.name)
            progress = FolderCheckpointStore(folder).progress() if store and folder.exists() else None
            if store and progress:
                require_provenance(progress.origin, {"data": store.fingerprint}, str(folder))
            planned.append(
                PlannedStage(
                    arm=arm,
                    name=stage.name,
                    epochs=stage.epochs,
                    steps=steps,
                    seconds=None if steps is None else steps * timer.seconds(stage),
                    bytes=2 * timer.checkpoint_bytes(stage.modality),
                    done=bool(progress and progress.steps >= (steps or 0)),
                    trained_in=folder.parent.name if folder.parent.name != arm else "",
                )
            )
    return planned


class StepTimer:
    """Times a step of each kind once, on noise."""

    def __init__(self, recipe: config.Recipe, compute: Compute) -> None:
        groups = 2 if recipe.contrast.bn_groups > 1 else 1
        self._recipe = evolve(recipe, contrast=evolve(recipe.contrast, bn_groups=groups))
        self._compute = compute
        self._known: dict[tuple[Modality, Modality | None], float] = {}
        self._bytes: dict[Modality, int] = {}

    def seconds(self, stage: Stage) -> float:
        """Of one step with the recipe's batch. Decoding and augmentation run beside it and are not counted."""
        key = (stage.modality, stage.partner)
        if key not in self._known:
            self._known[key] = self._timed(stage) * self._recipe.optim.batch / TIMED_CLIPS
        return self._known[key]

    def checkpoint_bytes(self, modality: Modality) -> int:
        """Query and key encoder, two moments, queue."""
        if modality not in self._bytes:
            self._bytes[modality] = self._counted(modality)
        return self._bytes[modality]

    def _counted(self, modality: Modality) -> int:
        network = wiring.build_network(self._recipe, modality, Compute(torch.device("cpu")))
        weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        contrast = self._recipe.contrast
        return 4 * int(weights) + contrast.queue * (contrast.embedding * 4 + 8)

    def _timed(self, stage: Stage) -> float:
        learner = wiring.build_learner(self._recipe, stage.modality, self._compute)
        if stage.partner is not None:
            partner = wiring.build_network(self._recipe, stage.partner, self._compute).eval().requires_grad_(False)
            step = cmmc_step(learner, partner, stage.partner, CrossModalCutMix(), RandomLayer())
        else:
            step = pretrain_step(learner, Mixup())
        batch, rng, seconds = self._noise(stage), np.random.default_rng(0), []
        for _ in range(3):
            begun = perf_counter()
            float(step(batch, rng).loss)
            seconds.append(perf_counter() - begun)
        return min(seconds[1:])

    def _noise(self, stage: Stage) -> ClipBatch:
        ids = torch.arange(TIMED_CLIPS, device=self._compute.device)
        views = {
            modality: tuple(
                torch.randn(TIMED_CLIPS, *wiring.batch_shape(self._recipe, modality), device=self._compute.device)
                for _ in range(number)
            )
            for modality, number in stage.views_needed.items()
        }
        return ClipBatch(views=views, videos=ids, sources=ids, labels=ids)


def _steps_per_epoch(recipe: config.Recipe, store: VideoStore) -> int:
    split, batch = recipe.data.train_split, recipe.optim.batch
    stages = [wiring.build_stage(recipe.of_arm(arm), s) for arm in recipe.arms for s in recipe.arms[arm].stages]
    require_clips(store, split, {m: 1 for stage in stages for m in stage.views_needed}, batch)
    return len(store.members(split)) // batch


def _require_scorable(recipe: config.Recipe, store: VideoStore | None) -> None:
    """Raise VimixError if a run could not be evaluated on the stores that there are."""
    if store is not None and recipe.evaluate.own:
        scores.own_place(recipe, store)
    missing = _missing(recipe)
    for name in recipe.evaluate.stores:
        if name not in missing:
            scores.other_place(recipe, name)


def _missing(recipe: config.Recipe) -> list[str]:
    """Names of [evaluate.stores] whose files are not there (yet)."""
    return [name for name, other in recipe.evaluate.stores.items() if not Path(other.store).exists()]


def _total(stages: Sequence[PlannedStage]) -> float | None:
    seconds = [stage.seconds for stage in stages]
    return None if None in seconds else sum(value for value in seconds if value is not None)


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
