"""``vimix evaluate``: scores of checkpoints beside those of untrained encoders, printed and recorded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from vimix.app.finetune import classify, finetune_scores
from vimix.app.parallel import videos_of_rank
from vimix.app.stage_run import StageRun
from vimix.app.train import train
from vimix.ports.network import Classifier
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.scores import ProbeScores, RetrievalScores, VideoProbabilities
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.commands import scores
from vimix_adapters.commands.feature_cache import cache_beside
from vimix_adapters.commands.session import Session, open_session
from vimix_adapters.outputs import require_output
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.environment import machine
from vimix_adapters.reports.results import RECORD, ResultRecord, read_results, unlike, write_results
from vimix_adapters.reports.tables import Row, console_table

Score = Callable[[config.Recipe, scores.Pairs], RetrievalScores | ProbeScores]


def evaluate_retrieval(
    recipe: config.Recipe, checkpoints: Sequence[Path], out: Path, device: str, on: str | None = None
) -> None:
    """R@k of the checkpoints (several: similarities averaged); ``on`` names another store of the recipe.

    Raises VimixError if ``out`` does not end in .json or holds something else than a record.
    """
    _evaluate("retrieval", scores.retrieval, recipe, checkpoints, out, device, on)


def evaluate_linear(
    recipe: config.Recipe,
    checkpoints: Sequence[Path],
    out: Path,
    device: str,
    best_on_test: bool = False,
    on: str | None = None,
) -> None:
    """Linear probe of the checkpoints (several: class probabilities averaged), into ``out``.

    ``best_on_test`` adds the peers' figure. Raises VimixError if the recipe's protocol has none, or ``out``
    does not end in .json or holds something else than a record.
    """
    if best_on_test:
        scores.epochs_of_probe(recipe)  # refuses before anything is computed
    beside = scores.linear_best_on_test if best_on_test else None
    _evaluate("linear", scores.linear, recipe, checkpoints, out, device, on, beside)


def _evaluate(
    task: str,
    score: Score,
    recipe: config.Recipe,
    paths: Sequence[Path],
    out: Path,
    device: str,
    on: str | None,
    beside: Callable[[config.Recipe, scores.Pairs], dict[str, float]] | None = None,
) -> None:
    require_output(out, RECORD)
    with open_session(recipe_on(recipe, on), device) as place:
        _scored(task, score, place, paths, out, on, beside)


def _scored(
    task: str,
    score: Score,
    place: Session,
    paths: Sequence[Path],
    out: Path,
    on: str | None,
    beside: Callable[[config.Recipe, scores.Pairs], dict[str, float]] | None,
) -> None:
    recipe, store, compute = place.recipe, place.store, place.compute
    checkpoints = load_by_modality(recipe, paths)
    trained = {m: wiring.build_trained(recipe, checkpoint, compute) for m, checkpoint in checkpoints.items()}
    untrained = {m: wiring.build_network(recipe, m, compute) for m in checkpoints}
    cache = cache_beside(paths[0]) if place.group.size == 1 else None
    pairs, fresh = (
        scores.extract(recipe, store, networks, compute, place.group, cache) for networks in (trained, untrained)
    )
    if not place.writes:
        return
    found, baseline = score(recipe, pairs), score(recipe, fresh)
    record = ResultRecord(
        task=task,
        scores=found.record,
        untrained=baseline.record,
        protocol={**scores.protocol(recipe), **found.protocol, "tested_siblings": found.siblings},
        videos=scores.counts(recipe, store),
        seed=recipe.seed,
        data=store.fingerprint,
        checkpoints={m: dict(checkpoint.about) for m, checkpoint in checkpoints.items()},
        machine=machine(str(compute.device)),
        recipe=recipe.name,
        tested_on=on or "",
        best_on_test=beside(recipe, pairs) if beside else {},
    )
    write_results(out, record)
    name = " + ".join(checkpoints)
    rows = [Row("random initialisation", name, baseline.record), Row("trained", name, found.record)]
    show_table(console_table(rows, title=f"{recipe.name}: {task}, protocol {recipe.evaluate.protocol}"))
    if record.best_on_test:
        told = f"epoch {record.best_on_test['epoch']:.0f}: {100 * record.best_on_test['top-1']:.1f}"
        print(f"best on test (chosen on the test videos themselves, as the peers report), {told}")
    print(f"written to {out}")


def evaluate_finetune(
    recipe: config.Recipe,
    checkpoints: Sequence[Path],
    scratch: Sequence[str],
    out: Path,
    device: str,
    resume: bool,
    on: str | None = None,
    baseline: Path | None = None,
) -> None:
    """Train encoders with labels, from checkpoints or (the modalities in ``scratch``) from random weights; test them.

    The classifiers, their metrics and checkpoints go to a folder beside ``out`` of its name without suffix;
    ``baseline`` is the record of the same from random weights, to stand beside the scores.
    Raises VimixError if nothing is named, a modality is named twice or unknown, an earlier training lies there and
    ``resume`` was not asked for, or the baseline is not of random weights or was made otherwise,
    or ``out`` is the baseline or holds something else than a record.
    """
    task = Supervised(
        "finetune",
        wiring.build_finetuning,
        crops=recipe.finetune.crops,
        numbers={"crop": recipe.finetune.crops, "finetune": attrs.asdict(recipe.finetune)},
        trained_as=recipe,
        from_scratch="supervised from random weights",
    )
    _evaluate_trained(task, recipe, checkpoints, scratch, out, device, resume, on, baseline)


def evaluate_end_to_end(
    recipe: config.Recipe,
    checkpoints: Sequence[Path],
    scratch: Sequence[str],
    out: Path,
    device: str,
    resume: bool,
    on: str | None = None,
    baseline: Path | None = None,
) -> None:
    """Train linear layers on augmented clips of frozen encoders, with the numbers of the recipe's protocol.

    As ``evaluate_finetune``; the modalities in ``scratch`` get frozen random encoders. Raises VimixError too if the
    protocol trains no such layer.
    """
    task = Supervised(
        "linear-end-to-end",
        wiring.build_linear_training,
        crops="protocol",
        numbers={},
        trained_as=wiring.end_to_end_recipe(recipe),
        from_scratch="linear layer on random encoders",
    )
    _evaluate_trained(task, recipe, checkpoints, scratch, out, device, resume, on, baseline)


@attrs.frozen(eq=False)
class Supervised:
    """A way of training with labels."""

    name: str
    build: Callable[..., tuple[Classifier, StageRun]]
    """From recipe, store, modality, checkpoint or None, folder, compute, who may ask to stop, and the group."""
    crops: str
    """Of the test videos."""
    numbers: Mapping[str, object]
    """What the record says beside the protocol."""
    trained_as: config.Recipe
    """With the task's split, batch and augmentation, where these are not the recipe's."""
    from_scratch: str
    """Heading of the line if no encoder was pretrained."""


def _evaluate_trained(
    task: Supervised,
    recipe: config.Recipe,
    checkpoints: Sequence[Path],
    scratch: Sequence[str],
    out: Path,
    device: str,
    resume: bool,
    on: str | None,
    baseline: Path | None,
) -> None:
    require_output(out, RECORD, [baseline] if baseline else [])
    with open_session(recipe_on(recipe, on), device) as place:
        _trained_with_labels(task, place, checkpoints, scratch, out, resume, on, baseline)


def _trained_with_labels(
    task: Supervised,
    place: Session,
    checkpoints: Sequence[Path],
    scratch: Sequence[str],
    out: Path,
    resume: bool,
    on: str | None,
    baseline: Path | None,
) -> None:
    recipe, store = place.recipe, place.store
    inits = _inits(recipe, checkpoints, scratch)
    scores.require_fair_splits(store, task.trained_as.data.train_split, recipe.evaluate.queries)
    trained_as = {m: wiring.supervised_settings(task.trained_as, m) for m in inits}
    record = ResultRecord(
        task=task.name,
        scores={},
        untrained={},
        protocol={
            **scores.protocol(recipe),
            **task.numbers,
            "trained_as": trained_as,
            "processes": place.group.size,
        },
        videos=scores.counts(recipe, store),
        seed=recipe.seed,
        data=store.fingerprint,
        checkpoints={m: {"init": "random"} if init is None else dict(init.about) for m, init in inits.items()},
        machine=machine(str(place.compute.device)),
        recipe=recipe.name,
        tested_on=on or "",
    )
    untrained = _baseline(baseline, record) if baseline else {}  # refused before hours of training
    folders = {modality: out.with_suffix("") / modality for modality in inits}
    found = finetune_scores(
        {m: _tested(task, place, m, init, folders[m], resume) for m, init in inits.items()},
        train=len(store.members(recipe.data.train_split)),
        fusion=wiring.build_fusion(recipe),
    )
    if not place.writes:
        return
    write_results(out, attrs.evolve(record, scores=found.record, untrained=untrained))
    name, nothing_learned = " + ".join(inits), set(inits.values()) == {None}
    rows = [Row(task.from_scratch, name, untrained)] if untrained else []
    rows.append(Row(task.from_scratch if nothing_learned else "trained with labels", name, found.record))
    show_table(console_table(rows, f"{recipe.name}: {task.name}", headings={}))
    if not (untrained or nothing_learned):
        streams = " ".join(f"--from-scratch {m}" for m in inits)
        print(f"no baseline stands beside it: make one with {streams}, then name its file with --baseline")
    print(f"written to {out}")


def _baseline(path: Path, record: ResultRecord) -> Mapping[str, float]:
    """Scores of the same from random weights. Raises VimixError if they are of something else."""
    other = read_results(path)
    if any(about.get("init") != "random" for about in other.checkpoints.values()):
        raise VimixError(f"--baseline {path}: expected one from random weights: make it with --from-scratch MODALITY")
    if differing := unlike(record, other):
        raise VimixError(
            f"--baseline {path} differs from this evaluation in {', '.join(differing)}, so the scores do not compare: "
            "make it with the same recipe, settings and modalities"
        )
    return other.scores


def _inits(
    recipe: config.Recipe, checkpoints: Sequence[Path], scratch: Sequence[str]
) -> dict[Modality, Checkpoint | None]:
    inits: dict[Modality, Checkpoint | None] = {**load_by_modality(recipe, checkpoints)}
    for name in scratch:
        if name not in recipe.modalities or name in inits:
            known = ", ".join(m for m in recipe.modalities if m not in inits) or "none is left"
            raise VimixError(f"--from-scratch {name}: expected another modality of the recipe ({known})")
        inits[Modality(name)] = None
    if not inits:
        raise VimixError("nothing to finetune: name a checkpoint, or a modality with --from-scratch")
    return scores.in_order(recipe, inits)


def _tested(
    task: Supervised, place: Session, modality: Modality, init: Checkpoint | None, folder: Path, resume: bool
) -> VideoProbabilities:
    recipe, store, compute = place.recipe, place.store, place.compute
    if FolderCheckpointStore(folder).exists() and not resume:
        raise VimixError(f"{folder} already holds a training: add --resume to go on, or choose another --out")
    with place.locked(folder):
        classifier, run = task.build(recipe, store, modality, init, folder, compute, place.requests, place.group)
        with place.requests.deferred():
            train(run)
    mine = videos_of_rank(store.members(recipe.evaluate.queries), place.group)
    clips = wiring.build_evaluation_clips(recipe, store, mine, modality, compute, task.crops)
    return classify(classifier, clips, recipe.evaluate.batch_clips, place.group)


def recipe_on(recipe: config.Recipe, store: str | None) -> config.Recipe:
    """The recipe, or as it reads on one of its [evaluate.stores]. Raises VimixError for an unknown one."""
    if store is None:
        return recipe
    if store not in recipe.evaluate.stores:
        known = ", ".join(recipe.evaluate.stores) or "none"
        raise VimixError(f"--on {store}: the recipe has no such table in [evaluate.stores], which has {known}")
    return recipe.on(store)


def load_by_modality(recipe: config.Recipe, paths: Sequence[Path]) -> dict[Modality, Checkpoint]:
    """Checkpoints by the modality that each was trained on, in the recipe's order.

    Raises VimixError for two of one modality, or one that the recipe does not have.
    """
    loaded: dict[Modality, Checkpoint] = {}
    for path in paths:
        checkpoint = load_checkpoint(path)
        modality = Modality(checkpoint.modality)
        if modality in loaded:
            raise VimixError(f"{path}: a second checkpoint of {modality}; two streams need two modalities")
        if modality not in recipe.modalities:
            raise VimixError(f"{path} is a checkpoint of {modality}, which the recipe does not have")
        loaded[modality] = checkpoint
    return scores.in_order(recipe, loaded)
