"""``vimix evaluate``: scores of checkpoints, compared with those of untrained encoders, printed and recorded."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import asdict, evolve, frozen
from rich.table import Table

from vimix.app.finetune import classify, finetune_scores
from vimix.app.parallel import videos_of_rank
from vimix.app.train import train
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.predictions import CrossModalScores, ProbeScores, RetrievalScores, VideoProbabilities
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_trained
from vimix_adapters.commands import scores
from vimix_adapters.commands.evaluation_details import detail_files, label_curve, show_fractions, write_details
from vimix_adapters.commands.feature_cache import cache_beside
from vimix_adapters.commands.scores import EvaluationTarget
from vimix_adapters.commands.session import UNTRAINED_STAGE, Session, open_session
from vimix_adapters.commands.spread_features import FeatureTasks
from vimix_adapters.files import require_new
from vimix_adapters.prepare.engines import RayEngine
from vimix_adapters.prepare.parts import parts_of
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.environment import machine
from vimix_adapters.reports.results import ResultRecord, read_results, unlike, write_results
from vimix_adapters.reports.tables import UNTRAINED, Row, console_table, cross_modal_table

Kind = TypeVar("Kind", RetrievalScores, ProbeScores, CrossModalScores)
Score = Callable[[config.Recipe, scores.Pairs], Kind]
Show = Callable[[str, str, Kind, Kind], Table]
"""Takes a title, the modalities, the scores of untrained and of trained encoders."""
Inits = Mapping[Modality, Checkpoint | None]
"""Initial weights by modality; None stands for random weights."""


@frozen
class EvaluationRequest:
    """Request to ``vimix evaluate``; a task ignores the options that it does not have."""

    recipe: config.Recipe
    checkpoints: Sequence[Path]
    """Checkpoint files or stage folders, one per modality."""
    out: Path
    """JSON file of the record."""
    device: str = "auto"
    scratch: Sequence[str] = ()
    """Modalities to train from random weights."""
    resume: bool = False
    """Whether to continue an earlier training with labels."""
    on: str | None = None
    """Key in [evaluate.stores] of another store than the recipe's own."""
    baseline: Path | None = None
    """Record of the same training from random weights, shown with the scores."""
    best_on_test: bool = False
    """Whether to report the probe's best epoch on the test videos too."""
    fractions: Sequence[float] = ()
    """Fractions of the training videos of each class that the probe is trained on too."""
    draws: int = 5
    """Draws of each fraction."""
    force: bool = False
    """Whether to replace ``out`` if it exists."""
    engine: RayEngine | None = None
    """Ray cluster that computes the features of frozen encoders; None: this process, or those of torchrun."""

    @property
    def target_recipe(self) -> config.Recipe:
        """The recipe with the settings of the store to evaluate on. Raises VimixError if it has no store ``on``."""
        if self.on is None:
            return self.recipe
        if self.on not in self.recipe.evaluate.stores:
            names = ", ".join(self.recipe.evaluate.stores) or "none"
            raise VimixError(f"--on {self.on}: the recipe has no such table in [evaluate.stores], which has {names}")
        return self.recipe.on(self.on)


SUPERVISED: Mapping[str, tuple[Callable[[config.Recipe, Modality], wiring.SupervisedTraining], str]] = {
    "finetune": (wiring.finetuning, "supervised from random weights"),
    "linear-end-to-end": (wiring.linear_training, "linear layer on random encoders"),
}
"""Plan of the training of a modality, and heading of encoders with random weights, by the name of the command."""


def evaluate_retrieval(request: EvaluationRequest) -> None:
    """Recall at k of the checkpoints, with the similarities of several modalities averaged.

    Raises VimixError if ``out`` exists or does not end in .json, or a checkpoint does not fit the recipe.
    """
    _evaluate_frozen(request, "retrieval", scores.retrieval, _table)


def evaluate_linear(request: EvaluationRequest) -> None:
    """Accuracy of a linear probe on features of the checkpoints, with several modalities fused.

    Raises VimixError as ``evaluate_retrieval`` does, or if the best epoch is wanted of a protocol without epochs.
    """
    if request.best_on_test and config.protocol_of(request.recipe).probe is None:
        raise VimixError(
            f"--best-on-test: protocol {request.recipe.evaluate.protocol} chooses nothing on test videos: use "
            "--protocol coclr or crosclr"
        )
    _evaluate_frozen(request, "linear", scores.linear, _table)


def evaluate_cross_modal(request: EvaluationRequest) -> None:
    """Compare every modality of the checkpoints with every other: recall at k, CKA and mutual neighbours.

    Raises VimixError as ``evaluate_retrieval`` does, or for fewer than two checkpoints.
    """
    if len(request.checkpoints) < 2:
        raise VimixError("cross-modal compares modalities: name checkpoints of at least two of them")
    _evaluate_frozen(request, "cross-modal", scores.cross_modal_scores, _cross_modal_table)


def _table(title: str, modalities: str, untrained: Kind, found: Kind) -> Table:
    rows = [Row(UNTRAINED, modalities, untrained.record), Row("trained", modalities, found.record)]
    return console_table(rows, title=title)


def _cross_modal_table(title: str, modalities: str, untrained: CrossModalScores, found: CrossModalScores) -> Table:
    del modalities  # each cell names its own
    return cross_modal_table({UNTRAINED: untrained, "trained": found}, title)


def _evaluate_frozen(request: EvaluationRequest, task: str, score: Score[Kind], show: Show[Kind]) -> None:
    _require_out(request)
    with open_session(request.target_recipe, "cpu" if request.engine else request.device) as session:
        recipe, compute = session.recipe, session.compute
        tasks, no_checkpoints = _feature_tasks(request, session)
        checkpoints = load_by_modality(recipe, request.checkpoints)
        trained = {m: wiring.build_trained(recipe, checkpoint, compute) for m, checkpoint in checkpoints.items()}
        untrained = {m: wiring.build_network(recipe, m, compute) for m in checkpoints}
        target = EvaluationTarget(request.on or "", recipe, session.store)
        cache = cache_beside(request.checkpoints[0]) if session.group.size == 1 else None
        pairs = scores.extract(target, trained, compute, session.group, cache, tasks)
        untrained_pairs = scores.extract(target, untrained, compute, session.group, cache, no_checkpoints)
        if not session.writes:
            return
        found, baseline = score(recipe, pairs), score(recipe, untrained_pairs)
        by_fraction = label_curve(recipe, pairs, request.fractions, request.draws) if request.fractions else []
        by_class = write_details(request.out, session.store, found)
        record = evolve(
            _record(session, target, task, checkpoints),
            fractions=[point.record for point in by_fraction],
            by_class=by_class,
            scores=found.record,
            untrained=baseline.record,
            protocol={**scores.protocol(recipe), **found.protocol, "tested_siblings": found.siblings},
            best_on_test=scores.linear_best_on_test(recipe, pairs) if request.best_on_test else {},
        )
        write_results(request.out, record)
        shutil.rmtree(parts_of(request.out), ignore_errors=True)
        name = " + ".join(checkpoints)
        show_table(show(f"{recipe.name}: {task}, protocol {recipe.evaluate.protocol}", name, baseline, found))
        if best := record.best_on_test:
            print(
                "best on test (chosen on the test videos themselves, as the peers report), "
                f"epoch {best['epoch']:.0f}: {100 * best['top-1']:.1f}"
            )
        if by_fraction:
            show_fractions(by_fraction, request.out, f"{recipe.name}: {name}, linear probe")
        print(f"written to {request.out}")


def evaluate_supervised(request: EvaluationRequest, name: str) -> None:
    """Train with labels, from checkpoints or random weights, and test: the task ``name`` of ``SUPERVISED``.

    Classifiers, metrics and checkpoints go into the folder ``out`` without its suffix. Raises VimixError if no
    modality is named, a modality is unknown or named twice, the protocol has no such training, the folder holds
    a training and ``resume`` is false, or the baseline is not from random weights or was made with other settings.
    """
    _require_out(request)
    plan, from_scratch = SUPERVISED[name]
    with open_session(request.target_recipe, request.device) as session:
        recipe, store = session.recipe, session.store
        inits = _inits(recipe, request.checkpoints, request.scratch)
        trainings = {m: plan(recipe, m) for m in inits}
        for modality, training in trainings.items():
            scores.require_fair_splits(store, training.trained_as.data.train_split, recipe.evaluate.queries)
            scores.require_classes(store, training.trained_as.data.train_split)
            need = wiring.training_memory(training.trained_as, {modality: 1}, session.compute, contrastive=False)
            wiring.require_memory(f"{name} of {modality}", need, session.compute)
        protocol = {**_trained_as(recipe, trainings), "processes": session.group.size}
        target = EvaluationTarget(request.on or "", recipe, store)
        record = evolve(_record(session, target, name, inits), protocol=protocol)
        baseline = _baseline(request.baseline, record) if request.baseline else {}  # refused before hours of training
        tested = {m: _train_and_test(session, request, trainings[m], init) for m, init in inits.items()}
        found = finetune_scores(tested, wiring.build_fusion(recipe))
        if not session.writes:
            return
        by_class = write_details(request.out, store, found)
        write_results(request.out, evolve(record, scores=found.record, untrained=baseline, by_class=by_class))
        streams, only_random = " + ".join(inits), set(inits.values()) == {None}
        rows = [Row(from_scratch, streams, baseline)] if baseline else []
        rows.append(Row(from_scratch if only_random else "trained with labels", streams, found.record))
        show_table(console_table(rows, f"{recipe.name}: {name}", headings={}))
        if not (baseline or only_random):
            options = " ".join(f"--from-scratch {m}" for m in inits)
            print(f"there is no baseline to compare with: make one with {options}, then name its file with --baseline")
        print(f"written to {request.out}")


def _feature_tasks(request: EvaluationRequest, session: Session) -> tuple[FeatureTasks | None, FeatureTasks | None]:
    """Return the tasks of Ray for the checkpoints, and for random weights. Raises VimixError under torchrun."""
    if request.engine is None:
        return None, None
    if session.group.size > 1:
        raise VimixError("--engine ray shares the videos among the tasks of Ray: call the command without torchrun")
    tasks = FeatureTasks(request.engine, parts_of(request.out), request.force)
    paths = {Modality(load_trained(path).modality): path for path in request.checkpoints}
    return evolve(tasks, checkpoints=paths), tasks


def _require_out(request: EvaluationRequest) -> None:
    """Refuse the output before any work; continuing a training replaces the record of the earlier call."""
    out = request.out
    if out.suffix != ".json":
        raise VimixError(f"{out}: expected a name that ends in .json")
    inputs = [*request.checkpoints, *([request.baseline] if request.baseline else [])]
    for file in (out, *detail_files(out, bool(request.fractions))):
        require_new(file, request.force or request.resume, inputs)


def _record(session: Session, target: EvaluationTarget, task: str, inits: Inits) -> ResultRecord:
    """The part of a record that is known before anything is computed."""
    about: dict[str, dict[str, Any]] = {
        m: {"init": "random"} if init is None else dict(init.about) for m, init in inits.items()
    }
    return ResultRecord(
        task=task,
        scores={},
        untrained={},
        protocol={},
        videos=target.videos,
        seed=target.recipe.seed,
        data=target.store.fingerprint,
        checkpoints=about,
        machine=machine(str(session.compute.device)),
        recipe=target.recipe.name,
        tested_on=target.name,
    )


def _baseline(path: Path, record: ResultRecord) -> Mapping[str, float]:
    """Scores of the same training from random weights. Raises VimixError if the file records another evaluation."""
    other = read_results(path)
    if any(about.get("init") != "random" for about in other.checkpoints.values()):
        raise VimixError(f"--baseline {path}: expected one from random weights: make it with --from-scratch MODALITY")
    if differing := unlike(record, other):
        raise VimixError(
            f"--baseline {path} differs from this evaluation in {', '.join(differing)}, so the scores do not compare: "
            "make it with the same recipe, settings and modalities"
        )
    return other.scores


def _inits(recipe: config.Recipe, checkpoints: Sequence[Path], scratch: Sequence[str]) -> Inits:
    inits: dict[Modality, Checkpoint | None] = {**load_by_modality(recipe, checkpoints)}
    for name in scratch:
        if name not in recipe.modalities or name in inits:
            left = ", ".join(m for m in recipe.modalities if m not in inits) or "none is left"
            raise VimixError(f"--from-scratch {name}: expected another modality of the recipe ({left})")
        inits[Modality(name)] = None
    if not inits:
        raise VimixError("nothing to train: name a checkpoint, or a modality with --from-scratch")
    return scores.in_order(recipe, inits)


def _trained_as(recipe: config.Recipe, trainings: Mapping[Modality, wiring.SupervisedTraining]) -> dict[str, object]:
    """Everything that determines the scores of trainings with labels, as plain data for the record."""
    finetuned = {m: asdict(t.settings) for m, t in trainings.items() if isinstance(t.settings, config.Finetuning)}
    return {
        **scores.protocol(recipe),
        **({"crop": recipe.finetune.crops, "finetune": finetuned} if finetuned else {}),
        "trained_as": {m: wiring.supervised_settings(t.trained_as, m) for m, t in trainings.items()},
    }


def _train_and_test(
    session: Session, request: EvaluationRequest, training: wiring.SupervisedTraining, init: Checkpoint | None
) -> VideoProbabilities:
    recipe, store, compute, group = session.recipe, session.store, session.compute, session.group
    modality = training.modality
    folder = request.out.with_suffix("") / modality
    if FolderCheckpointStore(folder).exists() and not request.resume:
        raise VimixError(f"{folder} already holds a training: add --resume to continue it, or choose another --out")
    with session.locked(folder):
        classifier, run = wiring.build_supervised_run(training, store, init, folder, compute, session.requests, group)
        with session.requests.deferred():
            final = train(run)
    if final.progress.untrained:
        raise VimixError(f"{folder}: {UNTRAINED_STAGE}")
    mine = videos_of_rank(store.members(recipe.evaluate.queries), group)
    clips = wiring.build_evaluation_clips(recipe, store, mine, modality, compute, training.crops)
    return classify(classifier, clips, recipe.evaluate.batch_clips, group)


def load_by_modality(recipe: config.Recipe, paths: Sequence[Path]) -> dict[Modality, Checkpoint]:
    """Load checkpoints by the modality that each was trained on, in the recipe's order.

    Raises VimixError for two checkpoints of one modality, or one of a modality that the recipe does not have.
    """
    loaded: dict[Modality, Checkpoint] = {}
    for path in paths:
        checkpoint = load_trained(path)
        modality = Modality(checkpoint.modality)
        if modality in loaded:
            raise VimixError(f"{path}: a second checkpoint of {modality}: name one checkpoint per modality")
        if modality not in recipe.modalities:
            raise VimixError(f"{path} is a checkpoint of {modality}, which the recipe does not have")
        loaded[modality] = checkpoint
    return scores.in_order(recipe, loaded)
