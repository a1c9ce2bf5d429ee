"""``vimix run --plan``: the stages of a recipe, and their estimated time and disk space here.

Without the recipe's store nothing can be counted or timed; torch is then not imported, so that the plan is instant.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from rich.table import Table

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.commands.stage_folders import StageFolders
from vimix_adapters.reports.console import show_table, text_table

if TYPE_CHECKING:
    from vimix.ports.clips import VideoStore
    from vimix_adapters.encoders.contrastive_network import Compute


@frozen
class PlannedStage:
    """One line of the plan. Numbers are None as long as the store does not exist."""

    arm: str
    number: int
    """Number of the stage in its arm, from 0."""
    name: str
    epochs: int
    folder: Path
    """Folder in which the stage is trained."""
    steps: int | None = None
    seconds: float | None = None
    bytes: int | None = None
    """Size of the stage's two checkpoints."""
    memory: int | None = None
    """Bytes of memory that the training needs."""
    refusal: str = ""
    """Message of ``vimix run`` if that is more than there is here; the stage is then neither sized nor timed."""
    done: bool = False

    @property
    def trained_in(self) -> str:
        """The earlier arm that trains the same stage, whose weights this one takes; empty if there is none."""
        return self.folder.parent.name if self.folder.parent.name != self.arm else ""

    @property
    def state(self) -> str:
        """Whether the stage is finished, trained by another arm, or to be trained."""
        return "finished" if self.done else f"as in {self.trained_in}" if self.trained_in else "to do"


def print_plan(recipe: config.Recipe, out: Path, device: str, seeds: int = 1) -> None:
    """Print stages, epochs, steps, disk, memory and an estimate of time from two timed steps of each kind.

    With several seeds, the first is shown; each of the others takes as long. Nothing is written. Raises VimixError if a
    store exists but fills no batch, lacks a modality or is not the one that the run began with, if nothing can be
    scored on it or on one of [evaluate.stores], or, below the table, if a stage needs more memory than there is.
    """
    missing = [name for name, other in recipe.evaluate.stores.items() if not Path(other.store).exists()]
    stages, title = list(_outline(recipe, out)), recipe.name
    has_store = Path(recipe.data.store).exists()
    if has_store:
        from vimix_adapters import wiring

        compute = wiring.build_compute(recipe, device)
        stages = list(_on_store(recipe, stages, wiring.build_store(recipe), compute))
        title += f" on {compute.device} in {str(compute.dtype).removeprefix('torch.')}"
    for name in recipe.evaluate.stores:
        if name not in missing:
            from vimix_adapters.commands import scores

            scores.evaluation_target(recipe, name)
    show_table(_table(title, stages, seeds))
    if not has_store:
        print(f"steps, disk and time need the store: {recipe.data.store} does not exist yet")
    for name in missing:
        print(f"evaluate.stores.{name}: {recipe.evaluate.stores[name].store} does not exist yet; no run begins without")
    if refusals := [stage.refusal for stage in stages if stage.refusal]:
        raise VimixError(refusals[0])


def _outline(recipe: config.Recipe, out: Path) -> Iterator[PlannedStage]:
    """The stages of all arms, in order."""
    folders = StageFolders(recipe, out)
    for arm in recipe.arms:
        own = config.of_arm(recipe, arm)
        for number, stage in enumerate(own.arms[arm].stages):
            folder = folders.owner(arm, number, stage.name)
            yield PlannedStage(arm, number, stage.name, own.stage(stage).epochs, folder)


def _on_store(
    recipe: config.Recipe, stages: Sequence[PlannedStage], store: "VideoStore", compute: "Compute"
) -> Iterator[PlannedStage]:
    """The stages with all numbers filled in."""
    from vimix_adapters import wiring
    from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore
    from vimix_adapters.commands import scores
    from vimix_adapters.commands.step_timer import StepTimer

    if recipe.evaluate.own:
        scores.evaluation_target(recipe, store=store)
    steps_per_epoch = _steps_per_epoch(recipe, store)
    timers: dict[int, StepTimer] = {}
    for planned in stages:
        listed = recipe.arms[planned.arm].stages[planned.number]
        own = config.of_stage(config.of_arm(recipe, planned.arm), listed)
        timer = timers.setdefault(own.contrast.queue, StepTimer(config.of_stage(recipe, listed), compute))
        stage = wiring.build_stage(own, listed)
        steps = steps_per_epoch * stage.epochs
        progress = FolderCheckpointStore(planned.folder).progress() if planned.folder.exists() else None
        if progress:
            progress.require_origin({"data": store.fingerprint}, str(planned.folder))
        need = wiring.training_memory(own, stage.views_needed, compute)
        planned = evolve(planned, steps=steps, memory=need.total, done=bool(progress and progress.steps >= steps))
        try:
            wiring.require_memory(f"stage {stage.name}", need, compute)
            wiring.require_minable(own, stage, store)
        except VimixError as error:
            yield evolve(planned, refusal=str(error))
            continue
        seconds, size = steps * timer.seconds(stage), 2 * timer.checkpoint_bytes(stage)
        yield evolve(planned, seconds=seconds, bytes=size)


def _steps_per_epoch(recipe: config.Recipe, store: "VideoStore") -> int:
    from vimix_adapters import wiring
    from vimix_adapters.clips.loader import batches_of_epoch, require_clips

    split, batch = recipe.data.train_split, recipe.optim.batch
    stages = [wiring.build_stage(config.of_arm(recipe, arm), s) for arm in recipe.arms for s in recipe.arms[arm].stages]
    require_clips(store, split, {m: 1 for stage in stages for m in stage.views_needed}, batch)
    return batches_of_epoch(store, split, batch)


def _table(title: str, stages: Sequence[PlannedStage], seeds: int) -> Table:
    rows = [
        [
            stage.arm,
            stage.name,
            str(stage.epochs),
            "?" if stage.steps is None else str(stage.steps),
            _megabytes(stage.bytes),
            _megabytes(stage.memory),
            _duration(stage.seconds),
            stage.state,
        ]
        for stage in stages
    ]
    own = [stage for stage in stages if not stage.trained_in]
    to_do = _total([stage.seconds for stage in own if not stage.done])
    caption = f"to do: {_duration(to_do)}, disk {_megabytes(_total([stage.bytes for stage in own]))}"
    if seeds > 1:
        caption += f"; {seeds} seeds, each as much"
    headings = ["arm", "stage", "epochs", "steps", "disk", "memory", "time", "state"]
    return text_table(headings, rows, "llrrrrrl", title, caption)


def _total(numbers: Sequence[float | None]) -> float | None:
    """The sum, or None if one of the numbers is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _megabytes(size: float | None) -> str:
    return "?" if size is None else f"{size / 2**20:,.0f} MiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
