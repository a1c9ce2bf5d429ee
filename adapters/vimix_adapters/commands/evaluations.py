"""``vimix evaluate``: scores of checkpoints beside those of untrained encoders, printed and recorded."""

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from rich.console import Console

from vimix.app.finetune import classify, finetune_scores
from vimix.app.train import train
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.scores import ProbeScores, RetrievalScores, VideoProbabilities
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.commands import scoring
from vimix_adapters.commands.caching import cache_beside
from vimix_adapters.encoders.network import Compute
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.reports.environment import machine
from vimix_adapters.reports.results import ResultRecord, write_results
from vimix_adapters.reports.tables import Row, console_table

Score = Callable[[config.Recipe, scoring.Pairs], RetrievalScores | ProbeScores]


def evaluate_retrieval(recipe: config.Recipe, checkpoints: Sequence[Path], out: Path, device: str) -> None:
    """R@k of the checkpoints (several: similarities averaged), into ``out``."""
    _evaluate("retrieval", scoring.retrieval, recipe, checkpoints, out, device)


def evaluate_linear(recipe: config.Recipe, checkpoints: Sequence[Path], out: Path, device: str) -> None:
    """Linear probe of the checkpoints (several: class probabilities averaged), into ``out``."""
    _evaluate("linear", scoring.linear, recipe, checkpoints, out, device)


def _evaluate(task: str, score: Score, recipe: config.Recipe, paths: Sequence[Path], out: Path, device: str) -> None:
    configure_logging()
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    checkpoints = load_by_modality(recipe, paths)
    trained = {m: wiring.build_trained(recipe, checkpoint, compute) for m, checkpoint in checkpoints.items()}
    untrained = {m: wiring.build_network(recipe, m, compute) for m in checkpoints}
    cache = cache_beside(paths[0])
    found = score(recipe, scoring.extract(recipe, store, trained, compute, cache))
    baseline = score(recipe, scoring.extract(recipe, store, untrained, compute, cache))
    record = ResultRecord(
        task=task,
        scores=found.record,
        untrained=baseline.record,
        protocol={**scoring.protocol(recipe), **found.protocol, "tested_siblings": found.siblings},
        videos=scoring.counts(recipe, store),
        seed=recipe.seed,
        data=store.fingerprint,
        checkpoints={m: dict(checkpoint.about) for m, checkpoint in checkpoints.items()},
        machine=machine(str(compute.device)),
    )
    write_results(out, record)
    name = " + ".join(checkpoints)
    rows = [Row("random initialisation", name, baseline.record), Row("trained", name, found.record)]
    Console().print(console_table(rows, title=f"{recipe.name}: {task}"))
    Console().print(f"written to {out}")


def evaluate_finetune(
    recipe: config.Recipe, checkpoints: Sequence[Path], scratch: Sequence[str], out: Path, device: str, resume: bool
) -> None:
    """Train encoders with labels, from checkpoints or (the modalities in ``scratch``) from random weights; test them.

    The classifiers, their metrics and checkpoints go to a folder beside ``out`` of its name without suffix.
    Raises VimixError if nothing is named, a modality is named twice or unknown, or an earlier training lies there
    and ``resume`` was not asked for.
    """
    configure_logging()
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    inits: dict[Modality, Checkpoint | None] = {**load_by_modality(recipe, checkpoints)}
    for name in scratch:
        if name not in recipe.modalities or name in inits:
            known = ", ".join(m for m in recipe.modalities if m not in inits) or "none is left"
            raise VimixError(f"--from-scratch {name}: expected another modality of the recipe ({known})")
        inits[Modality(name)] = None
    if not inits:
        raise VimixError("nothing to finetune: name a checkpoint, or a modality with --from-scratch")
    found = finetune_scores(
        {m: _finetuned(recipe, store, m, init, out.with_suffix("") / m, compute, resume) for m, init in inits.items()},
        train=len(store.members(recipe.data.train_split)),
    )
    record = ResultRecord(
        task="finetune",
        scores=found.record,
        untrained={},
        protocol={**scoring.protocol(recipe), "crop": recipe.finetune.crops, "finetune": attrs.asdict(recipe.finetune)},
        videos=scoring.counts(recipe, store),
        seed=recipe.seed,
        data=store.fingerprint,
        checkpoints={m: {"init": "random"} if init is None else dict(init.about) for m, init in inits.items()},
        machine=machine(str(compute.device)),
    )
    write_results(out, record)
    title = "supervised from random weights" if set(inits.values()) == {None} else "finetuned"
    Console().print(console_table([Row(title, " + ".join(inits), found.record)], title=f"{recipe.name}: finetune"))
    Console().print(f"written to {out}")


def _finetuned(
    recipe: config.Recipe,
    store: VideoStore,
    modality: Modality,
    init: Checkpoint | None,
    folder: Path,
    compute: Compute,
    resume: bool,
) -> VideoProbabilities:
    if FolderCheckpointStore(folder).last() is not None and not resume:
        raise VimixError(f"{folder} already holds a training: add --resume to go on, or choose another --out")
    classifier, run = wiring.build_finetuning(recipe, store, modality, init, folder, compute)
    train(run)
    members = store.members(recipe.evaluate.queries)
    clips = wiring.build_evaluation_clips(recipe, store, members, modality, compute, recipe.finetune.crops)
    return classify(classifier, clips, recipe.evaluate.batch_clips)


def load_by_modality(recipe: config.Recipe, paths: Sequence[Path]) -> dict[Modality, Checkpoint]:
    """Checkpoints keyed by the modality that each was trained on. Raises VimixError for two of one modality."""
    loaded: dict[Modality, Checkpoint] = {}
    for path in paths:
        checkpoint = load_checkpoint(path)
        modality = Modality(checkpoint.modality)
        if modality in loaded:
            raise VimixError(f"{path}: a second checkpoint of {modality}; two streams need two modalities")
        if modality not in recipe.modalities:
            raise VimixError(f"{path} is a checkpoint of {modality}, which the recipe does not have")
        loaded[modality] = checkpoint
    return loaded
