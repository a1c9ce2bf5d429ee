"""``vimix experiments figure`` and ``stages``: figures and tables from the metrics of runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.commands.stage_folders import stages_of_arm
from vimix_adapters.files import require_new
from vimix_adapters.reports import figures, stage_tables
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.curves import StageMetrics, of_view, read_metrics
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.summaries import require_sample

FIGURE_2 = ("moco", "mixup_only", "not_alternate", "cmmc")
"""Arms of experiments/table2.toml: without mixing, without hidden mixing, without alternation, CMMC."""

QUANTITIES: Mapping[str, Sequence[tuple[str, str, float]]] = {
    "2": [("knn_accuracy", "kNN accuracy (%)", 100.0)],
    "3": [("loss", "loss (nats)", 1.0), ("pretext_accuracy", "pretext accuracy (%)", 100.0)],
    "mixing": [
        ("pretext_accuracy", "pretext accuracy (%)", 100.0),
        ("alignment", "alignment", 1.0),
        ("uniformity", "uniformity", 1.0),
        ("effective_rank", "effective rank", 1.0),
        ("bn_mean_gap", "BatchNorm means, query - key (σ)", 1.0),
        ("bn_variance_ratio", "BatchNorm variances, query / key", 1.0),
    ],
}
"""Quantities by figure: name in ``metrics.jsonl``, label of the axis and factor to its unit."""

NEEDED = ("step", "epoch")
"""Numbers that every row of metrics must have."""


@frozen(eq=False)
class RunMetrics:
    """The metrics of all stages of a run."""

    recipe: config.Recipe
    stages: Mapping[str, Sequence[StageMetrics]]
    """Stages by arm, in order; a stage that was trained by itself (``vimix pretrain``) is an arm of its own name."""

    def curve(self, arm: str, modality: str, quantity: str) -> figures.Curve:
        """Return the quantity, averaged over each epoch, through all stages that train the modality."""
        before = 0
        points: dict[float, list[float]] = {}
        for stage in self.stages.get(arm, ()):
            if modality in stage.modalities:
                for row in of_view(stage.rows, modality):
                    if quantity in row:
                        points.setdefault(before + row["epoch"] + 1, []).append(row[quantity])
                before += stage.epochs
        epochs = sorted(points)
        return figures.Curve(np.array(epochs), np.array([np.mean(points[at]) for at in epochs]), self.recipe.seed)


def draw_figure(name: str, folder: Path, out: Path, modality: str, arms: Sequence[str], force: bool = False) -> None:
    """Draw a figure of ``QUANTITIES`` from the metrics of the runs in ``folder``, and write its numbers as JSON.

    "2" and "3" are the paper's figures; "mixing" shows what the mixing of each arm does to the encoder.

    The JSON file has the name of ``out`` with the suffix .json. Raises VimixError if no run has the quantity or one of
    the ``arms``, the runs are not of one recipe with different seeds, ``out`` does not end in .png, or one of the
    files exists and ``force`` is false.
    """
    if out.suffix != ".png":
        raise VimixError(f"--out {out}: expected a name that ends in .png; the numbers go to a file that ends in .json")
    for file in (out, out.with_suffix(".json")):
        require_new(file, force)
    runs = read_run_metrics(folder)
    _seeds(runs)
    begun = _all_arms(runs)
    if unknown := [arm for arm in arms if arm not in begun]:
        raise VimixError(
            f"--arms {','.join(unknown)}: {folder} has no such arm; it has {', '.join(begun) or 'none yet'}"
        )
    chosen = arms or _usual_arms(name, begun)
    panels = [figures.Panel(*shown, _curves(runs, chosen, modality, shown[0])) for shown in QUANTITIES[name]]
    if not any(panel.curves for panel in panels):
        raise VimixError(
            f"{folder}: no run below it has {panels[0].name} of {modality}"
            + (": set evaluate.knn_every in its recipe" if name == "2" else "")
        )
    figures.draw_panels(
        out, panels, f"Figure {name}: {modality}" if name.isdecimal() else f"What {name} does: {modality}"
    )
    write_json(out.with_suffix(".json"), figures.plain(name, modality, panels))
    for panel in panels:
        show_table(figures.panel_table(panel))
    print(f"written to {out} and {out.with_suffix('.json')}")


def draw_training(recipe: config.Recipe, run: Path) -> None:
    """Write ``curves.png`` into the folder of a run: loss and pretext accuracy of each modality through all stages."""
    metrics = [_run_metrics(recipe, run)]
    panels = [
        figures.Panel(name, f"{modality}: {label}", factor, _curves(metrics, _all_arms(metrics), modality, name))
        for modality in recipe.modalities
        for name, label, factor in QUANTITIES["3"]
    ]
    if drawn := [panel for panel in panels if panel.curves]:
        figures.draw_panels(run / "curves.png", drawn, recipe.name, columns=len(QUANTITIES["3"]))


def show_stages(folders: Sequence[Path], out: Path | None, force: bool = False) -> None:
    """Print the metrics that each stage ended with, over runs with different seeds; write them to ``out`` as JSON.

    A folder may hold several runs. Raises VimixError if the runs are not of one recipe with different seeds, none has
    metrics, or ``out`` exists and ``force`` is false.
    """
    if out is not None:
        require_new(out, force)
    runs = [run for folder in folders for run in read_run_metrics(folder)]
    seeds = _seeds(runs)
    lines = [line for arm in _all_arms(runs) for line in _lines(runs, arm)]
    if not lines:
        raise VimixError(f"{folders[0]}: no stage of {runs[0].recipe.name} has metrics yet")
    if out is not None:
        write_json(out, stage_tables.plain(lines, runs[0].recipe.name, seeds))
    show_table(stage_tables.stages_table(lines, seeds))


def read_run_metrics(folder: Path) -> list[RunMetrics]:
    """Read the metrics of all runs in the folder or up to two levels below. Raises VimixError if there is no run."""
    files = sorted({*folder.glob("recipe.toml"), *folder.glob("*/recipe.toml"), *folder.glob("*/*/recipe.toml")})
    if not files:
        raise VimixError(f"{folder}: there is no run below it (no recipe.toml)")
    return [_run_metrics(config.read_recipe(file, recorded=True), file.parent) for file in files]


def _run_metrics(recipe: config.Recipe, run: Path) -> RunMetrics:
    folders = {name: stages_of_arm(recipe, run, name) for name in recipe.arms}
    single = {stage.name: [(run / stage.name, stage)] for stage in _single_stages(recipe)}
    begun = {name: _begun(recipe, stages) for name, stages in {**folders, **single}.items()}
    return RunMetrics(recipe, {name: stages for name, stages in begun.items() if stages})


def _seeds(runs: Sequence[RunMetrics]) -> list[int]:
    """Seeds of the runs. Raises VimixError unless the runs are of one recipe with different seeds."""
    seeds = [run.recipe.seed for run in runs]
    require_sample([run.recipe.name for run in runs], seeds)
    return seeds


def _single_stages(recipe: config.Recipe) -> list[config.Stage]:
    """All stages that ``vimix pretrain`` and ``vimix cmmc-stage`` can train."""
    stages: list[config.Stage] = [config.PretrainStage(modality) for modality in recipe.modalities]
    partners = (None, *recipe.modalities)
    stages += [config.CmmcStage(modality, partner) for modality in recipe.modalities for partner in partners]
    return stages


def _begun(recipe: config.Recipe, stages: Sequence[tuple[Path, config.Stage]]) -> list[StageMetrics]:
    return [
        StageMetrics(
            folder.name, stage.trained, recipe.stage(stage).epochs, read_metrics(folder / "metrics.jsonl", NEEDED)
        )
        for folder, stage in stages
        if (folder / "metrics.jsonl").exists()
    ]


def _all_arms(runs: Sequence[RunMetrics]) -> list[str]:
    """Arms that some run has begun, in order."""
    return list(dict.fromkeys(arm for run in runs for arm in run.stages))


def _usual_arms(name: str, begun: Sequence[str]) -> Sequence[str]:
    """The arms of the paper's figure if at least two of them have begun, else all that have."""
    papers = {"2": FIGURE_2, "3": ("moco", "cmmc")}
    named = [arm for arm in papers.get(name, ()) if arm in begun]
    return named if len(named) > 1 else begun


def _curves(
    runs: Sequence[RunMetrics], arms: Sequence[str], modality: str, quantity: str
) -> dict[str, list[figures.Curve]]:
    """Curves by title of the arm, one per run, without arms that were not measured."""
    found = {
        _title(runs, arm): [run.curve(arm, modality, quantity) for run in runs if arm in run.stages] for arm in arms
    }
    measured = {title: [curve for curve in curves if len(curve.epochs)] for title, curves in found.items()}
    return {title: curves for title, curves in measured.items() if curves}


def _title(runs: Sequence[RunMetrics], arm: str) -> str:
    return next((run.recipe.title(arm) for run in runs if arm in run.stages), arm)


def _lines(runs: Sequence[RunMetrics], arm: str) -> list[stage_tables.StageLine]:
    """Lines for the stages of an arm that at least one run has begun."""
    begun = {run.recipe.seed: {stage.folder: stage for stage in run.stages.get(arm, ())} for run in runs}
    furthest = max(begun.values(), key=len)  # stages begin in order
    return [
        stage_tables.stage_line(
            _title(runs, arm),
            folder,
            stage.epochs,
            {seed: by_folder[folder].rows for seed, by_folder in begun.items() if folder in by_folder},
        )
        for folder, stage in furthest.items()
    ]
