"""``vimix evaluate``: scores of checkpoints beside those of untrained encoders, printed and recorded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.scores import ProbeScores, RetrievalScores
from vimix_adapters import config, scoring, wiring
from vimix_adapters.checkpoints.folder import load_checkpoint
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
    found = score(recipe, scoring.extract(recipe, store, trained, compute))
    baseline = score(recipe, scoring.extract(recipe, store, untrained, compute))
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
