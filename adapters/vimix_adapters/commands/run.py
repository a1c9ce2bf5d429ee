"""``vimix run``, ``pretrain`` and ``cmmc``: train one stage, or all arms of a recipe, and evaluate them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

import attrs
import structlog

from vimix.app.train import run_stages, train
from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint, load_trained
from vimix_adapters.commands import scores
from vimix_adapters.commands.evaluate_run import draw_positives, evaluate_run
from vimix_adapters.commands.import_weights import initial_checkpoint
from vimix_adapters.commands.report import PageSettings, page_or_warning, write_report
from vimix_adapters.commands.session import UNTRAINED_STAGE, Session, open_session
from vimix_adapters.commands.stage_folders import StageFolders
from vimix_adapters.files import make_folder, sweep_folder, write_text
from vimix_adapters.locks import is_locked
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.environment import commit, versions
from vimix_adapters.reports.remarks import UNTRAINED
from vimix_adapters.reports.summaries import read_run, require_place_for_run, require_place_for_summary, write_summary
from vimix_adapters.reports.tables import Row, console_table

TRACES = ("last.pt", "previous.pt", "metrics.jsonl")
"""Files in a stage's folder that show that it was trained."""

log = structlog.get_logger()


def train_single(
    recipe: config.Recipe,
    stage: config.Stage,
    out: Path,
    inits: Mapping[str, Path],
    device: str,
    resume: bool,
) -> None:
    """Train one stage in a folder of ``out``, starting from the checkpoints ``inits`` by modality.

    A stage that is resumed may get more epochs than it was begun with. Raises VimixError if ``out`` already holds
    checkpoints of the stage and ``resume`` is False, or the epochs trained so far had other learning rates.
    """
    with open_session(recipe, device) as session:
        built = wiring.build_stage(recipe, _checked(recipe, stage))
        folder = out / built.name
        if FolderCheckpointStore(folder).exists() and not resume:
            raise VimixError(f"{folder} already holds checkpoints: add --resume to continue, or choose another --out")
        wiring.require_sinks(recipe)
        _require_feasible(session, recipe, [stage])
        _claim(session, out, _lengthened(out, folder, built) if resume else ())
        final = _execute(session, built, _loaded(inits), folder, number=0)
        if final.progress.untrained:
            raise VimixError(f"{folder}: {UNTRAINED_STAGE}")


def _lengthened(out: Path, folder: Path, stage: Stage) -> Sequence[str]:
    """The keys of the recipe that may differ from those at the start of the stage, because it gets more epochs.

    Raises VimixError if its epochs so far were trained with milestones that are not those of the new schedule.
    """
    progress = FolderCheckpointStore(folder).progress()
    if progress is None or not (out / "recipe.toml").exists():
        return ()
    section = "pretrain" if stage.layers is None else "cmmc"
    begun = getattr(config.read_recipe(out / "recipe.toml", recorded=True), section)
    trained = progress.steps / max(1, progress.steps_per_epoch)
    old, new = ([m for m in milestones if m < trained] for milestones in (begun.milestones, stage.milestones))
    if begun.epochs >= stage.epochs:
        return ()
    if old != new:
        raise VimixError(
            f"{section}.milestones: {folder} has trained {trained:g} epochs with the milestones {old}, in the new "
            f"schedule they are {new}: keep those of the past epochs, as in --set '{section}.milestones={old}'"
        )
    return f"{section}.epochs", f"{section}.milestones"


def run_plan(recipe: config.Recipe, out: Path, device: str, arms: Sequence[str] = ()) -> None:
    """Train and evaluate all arms, finished stages excepted; write ``results.json`` and ``results.md`` into ``out``.

    With ``arms`` only these are trained, and nothing is evaluated: several calls may share the arms of a run.
    """
    _require_arms(recipe, arms)
    with open_session(recipe, device) as session:
        rows = _run_plan(session, out, arms)
    _require_learned(rows, out)


def _require_arms(recipe: config.Recipe, arms: Sequence[str]) -> None:
    """Raise VimixError if the recipe has no plan to run, or lacks one of the arms."""
    if not recipe.arms:
        raise VimixError(f"recipe {recipe.name!r} has no [arms]: there is no plan to run; use vimix pretrain")
    if unknown := [arm for arm in arms if arm not in recipe.arms]:
        raise VimixError(f"--arms: {recipe.name} has no arm {unknown[0]!r}, only {', '.join(recipe.arms)}")


def _run_plan(session: Session, out: Path, arms: Sequence[str]) -> list[Row]:
    recipe, compute = session.recipe, session.compute
    wiring.require_sinks(recipe)
    targets = scores.evaluation_targets(recipe, session.store)  # an error here comes before hours of training
    for arm in recipe.arms:
        _require_feasible(session, config.of_arm(recipe, arm), recipe.arms[arm].stages)
    _claim(session, out)
    log.info(
        "run.started", recipe=recipe.name, seed=recipe.seed, device=str(compute.device), precision=str(compute.dtype)
    )
    newest = train_arms(session, out, arms)
    if arms:
        log.info("arms.trained", arms=",".join(arms), then="the same call without --arms evaluates all arms")
        return []
    rows = evaluate_run(session, newest, targets, out)
    if session.writes:
        draw_positives(recipe, session.store, out)
        show_table(console_table(rows, title=recipe.name))
        log.info("run.finished", results=str(out / "results.md"))
    session.group.wait()
    return rows


def run_seeds(recipe: config.Recipe, out: Path, device: str, seeds: Sequence[int], arms: Sequence[str] = ()) -> None:
    """Run the plan in ``out/seed-N`` for each seed; write means, deviations and paired differences into ``out``.

    With ``arms`` only these are trained, and nothing is evaluated. Raises VimixError if ``out`` is the folder of a
    single run, before anything is trained.
    """
    _require_arms(recipe, arms)
    require_place_for_summary(out)
    rows: list[Row] = []
    with open_session(recipe, device) as session:  # one session for all seeds: processes join a group once
        for seed in seeds:
            own = attrs.evolve(session, recipe=attrs.evolve(recipe, seed=seed))
            rows += _run_plan(own, out / f"seed-{seed}", arms)
        if session.writes and not arms:
            text = write_summary(out, [read_run(out / f"seed-{seed}") for seed in seeds])
            print(text)
            with page_or_warning(out):
                write_report([out], out / "report.html", PageSettings(device=device), force=True)
            log.info("seeds.finished", results=str(out / "results.md"))
    _require_learned(rows, out)


def _require_learned(rows: Sequence[Row], out: Path) -> None:
    """Raise VimixError if all steps of an encoder in the rows were skipped: its scores mean nothing."""
    if untrained := [f"{row.arm}, {row.modality}" for row in rows if UNTRAINED in row.remark]:
        raise VimixError(f"{out / 'results.md'}: {untrained[0]}: {UNTRAINED_STAGE}")


def _require_feasible(session: Session, recipe: config.Recipe, stages: Sequence[config.Stage]) -> None:
    """Raise VimixError, before any training, if a stage needs more memory than there is, or could mine no positive."""
    for stage in {(stage.modalities, stage.queue): stage for stage in stages}.values():
        views = wiring.build_stage(recipe, stage).views_needed
        need = wiring.training_memory(config.of_stage(recipe, stage), views, session.compute)
        wiring.require_memory(f"stage {stage.name}", need, session.compute)
    for stage in stages:
        own = config.of_stage(recipe, stage)
        wiring.require_minable(own, wiring.build_stage(own, stage), session.store, session.group.size)


def train_arms(session: Session, out: Path, arms: Sequence[str] = ()) -> dict[str, dict[Modality, Checkpoint]]:
    """Train all stages of the arms (of all without a name) that are not finished; return the newest encoders."""
    folders, recipe = StageFolders(session.recipe, out, session.writes), session.recipe
    return {
        arm: _run_arm(attrs.evolve(session, recipe=config.of_arm(recipe, arm)), arm, folders)
        for arm in recipe.arms
        if arm in arms or not arms
    }


def _run_arm(session: Session, arm: str, folders: StageFolders) -> dict[Modality, Checkpoint]:
    stages = session.recipe.arms[arm].stages

    def execute(number: int, stage: Stage, newest: Mapping[Modality, Checkpoint]) -> Checkpoint:
        own = attrs.evolve(session, recipe=config.of_stage(session.recipe, stages[number]))
        return _execute(own, stage, newest, folders.linked(arm, number, stage.name), number, arm)

    newest = run_stages([wiring.build_stage(session.recipe, stage) for stage in stages], execute)
    # Only what is evaluated: the checkpoints of all arms stay in memory until then.
    return {modality: final.query_only for modality, final in newest.items()}


def _execute(
    session: Session,
    stage: Stage,
    inits: Mapping[Modality, Checkpoint],
    folder: Path,
    number: int,
    arm: str = "",
) -> Checkpoint:
    """Train the stage in ``folder`` unless it is finished; return its final checkpoint."""
    recipe, store, inits = session.recipe, session.store, _with_weights(session.recipe, stage, inits)
    checkpoints = FolderCheckpointStore(folder)
    progress = checkpoints.progress()
    if progress is not None and progress.steps >= stage.epochs * progress.steps_per_epoch:
        progress.require_origin(wiring.stage_provenance(store, stage, inits), str(folder))
        log.info("stage.already_finished", arm=arm, stage=stage.name)
        last = checkpoints.last()
        assert last is not None
        _write_views(session, stage, last, folder)
        return last
    _warn_of_long_queue(recipe, store)
    with session.locked(folder):
        compute, group = session.compute, session.group
        about = _about_stage(session, arm, number)
        run = wiring.build_stage_run(
            recipe, stage, store, inits, folder, compute, number, group, session.requests, about
        )
        log.info("stage.started", arm=arm, stage=stage.name, epochs=stage.epochs, steps=run.clips.steps * stage.epochs)
        begun = perf_counter()
        with session.requests.deferred():
            final = train(run)
        log.info("stage.finished", arm=arm, stage=stage.name, minutes=round((perf_counter() - begun) / 60, 2))
        _write_views(session, stage, final, folder)
    return final


def _with_weights(
    recipe: config.Recipe, stage: Stage, inits: Mapping[Modality, Checkpoint]
) -> Mapping[Modality, Checkpoint]:
    """The checkpoints, with the weights that the recipe names for modalities that have none."""
    needed = [m for m in stage.views_needed if m not in inits and recipe.modalities[m].weights]
    return {**inits, **{modality: initial_checkpoint(recipe, modality) for modality in needed}} if needed else inits


def _write_views(session: Session, stage: Stage, final: Checkpoint, folder: Path) -> None:
    """Write a checkpoint of each of several modalities that were trained at once into ``folder/MODALITY``."""
    for modality in stage.trained if stage.together and session.writes else ():
        own = FolderCheckpointStore(folder / modality)
        if not own.exists():
            make_folder(own.folder)
            own.save(final.of(modality))


def _about_stage(session: Session, arm: str, number: int) -> dict[str, str | int | float]:
    """Facts for the record of the stage's checkpoints, besides those that every training has."""
    return {
        "arm": arm,
        "data": session.store.fingerprint,
        "commit": commit(),
        "stages_to_come": _to_come(session.recipe, arm, number),
        **{f"version_{name}": value for name, value in versions().items()},
    }


def _to_come(recipe: config.Recipe, arm: str, number: int) -> int:
    """Number of later stages of the arm that train one of its modalities; 0 for its final encoder."""
    stages = recipe.arms[arm].stages if arm else ()
    return sum(bool({*later.trained} & {*stages[number].trained}) for later in stages[number + 1 :])


def _warn_of_long_queue(recipe: config.Recipe, store: VideoStore) -> None:
    videos = len(store.members(recipe.data.train_split))
    if recipe.contrast.queue > videos / 2 and not recipe.contrast.mask_siblings:
        log.warning(
            "queue.longer_than_half_the_data_set",
            queue=recipe.contrast.queue,
            videos=videos,
            consequence="a query meets older keys of its own video as negatives: set contrast.mask_siblings = true",
        )


def _claim(session: Session, out: Path, may_differ: Sequence[str] = ()) -> None:
    """Write ``out/recipe.toml``. If an earlier call trained nothing there, its recipe is replaced.

    The keys ``may_differ`` may have other values than when the run was begun. Raises VimixError if another recipe was
    begun in ``out``, or it is the folder of several seeds.
    """
    require_place_for_run(out)
    recipe, file = session.recipe, out / "recipe.toml"
    if file.exists():
        earlier = config.read_recipe(file, recorded=True)
        changed = [key for key in config.training_differences(earlier, recipe) if key not in may_differ]
        changed += _returned(out, earlier, recipe)
        if changed and _begun(out, session.writes):
            raise VimixError(
                f"{out} was begun with another recipe; it differs in {', '.join(changed)}: choose another --out, or "
                "set these back"
            )
    if session.writes:
        for folder in (out, out / "features"):  # what a killed call left beside results
            sweep_folder(folder)
        write_text(file, config.recipe_to_toml(recipe))


def _returned(out: Path, earlier: config.Recipe, now: config.Recipe) -> list[str]:
    """Arms that an earlier call trained otherwise in ``out``, and that the ``earlier`` recipe no longer had."""
    return [
        f"[arms.{arm}] (delete {out / arm} to train it anew)"
        for arm in now.arms
        if arm not in earlier.arms
        for file in sorted((out / arm).glob("*/last.pt"))
        if not file.parent.is_symlink() and _trained_otherwise(file, config.of_arm(now, arm))
    ][:1]


def _trained_otherwise(file: Path, now: config.Recipe) -> bool:
    trained = config.recipe_from_toml(load_checkpoint(file, mmap=True).recipe, f"the recipe in {file}", recorded=True)
    return bool(config.training_differences(trained, now))


def _begun(out: Path, alone: bool) -> bool:
    """Whether a stage has been trained in the folder, for at least one row of metrics, or is being trained now.

    Locks are tried by one process ``alone``: the ranks of a group would find each other's.
    """
    files = [file for name in TRACES for level in ("*", "*/*") for file in out.glob(f"{level}/{name}")]
    if (out / "results.json").exists() or any(file.stat().st_size for file in files):
        return True
    return alone and any(is_locked(lock.parent) for level in ("*", "*/*") for lock in out.glob(f"{level}/.lock"))


def _loaded(inits: Mapping[str, Path]) -> dict[Modality, Checkpoint]:
    """The checkpoints. Raises VimixError if one was trained on another modality."""
    loaded = {Modality(name): load_trained(path) for name, path in inits.items()}
    for name, checkpoint in loaded.items():
        if checkpoint.modality != name:
            raise VimixError(f"{inits[name]} is a checkpoint of {checkpoint.modality}, expected one of {name}")
    return loaded


def _checked(recipe: config.Recipe, stage: config.Stage) -> config.Stage:
    """The stage. Raises VimixError if the recipe lacks one of its modalities, or its settings contradict each other."""
    for name in stage.modalities:
        if name not in recipe.modalities:
            raise VimixError(f"the recipe has no modality {name!r}, only {', '.join(recipe.modalities)}")
    if mistakes := list(config.stage_contradictions(recipe, "the stage", stage)):
        raise VimixError("; ".join(mistakes))
    return stage
