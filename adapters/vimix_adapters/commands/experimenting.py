"""``vimix experiments``: the paper's tables and figures from the runs that exist."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from attrs import frozen
from rich.console import Console

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.files import write_text
from vimix_adapters.reports import figures, paper, stages
from vimix_adapters.reports.curves import read_metrics
from vimix_adapters.reports.results import FORMAT as RECORD_FORMAT
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.summaries import RunResults, read_run, run_of, write_summary
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT

log = structlog.get_logger()

FIGURE_2 = ("moco", "mixup_only", "not_alternate", "cmmc")
"""Without mix, without manifold mixup, without alternate training, CMMC: arms of experiments/table2.toml."""


@frozen(eq=False)
class Found:
    """What lies in a folder of runs."""

    runs: Sequence[RunResults]
    records: Sequence[dict[str, Any]]
    """Of ``vimix evaluate``."""

    def values(self, source: paper.Source) -> list[float]:
        """One value a seed, in order of the seeds; empty if there is none."""
        found = self._recorded(source) if source.task != "run" else self._tabled(source)
        return [found[seed] for seed in sorted(found)]

    def _tabled(self, source: paper.Source) -> dict[int, float]:
        place = (source.arm, source.modality, source.tested_on)
        return {
            run.seed: row.scores[source.score]
            for run in self.runs
            if run.recipe == source.recipe
            for row in run.rows
            if (row.key, row.modality, row.tested_on) == place and source.score in row.scores
        }

    def _recorded(self, source: paper.Source) -> dict[int, float]:
        return {
            int(record["seed"]): float(record["scores"][source.score])
            for record in self.records
            if (record["task"], record.get("recipe"), record.get("tested_on", ""))
            == (source.task, source.recipe, source.tested_on)
            and " + ".join(record["checkpoints"]) == source.modality
            and all(about.get("init") != "random" for about in record["checkpoints"].values())
        }


def find_results(folder: Path) -> Found:
    """All results below a folder; of two with one recipe and seed the newer. Raises VimixError if it is no folder."""
    if not folder.is_dir():
        raise VimixError(f"{folder}: no such folder; expected one that holds runs")
    runs: dict[tuple[str, int], RunResults] = {}
    records = []
    for file, content in _contents(folder):
        if content.get("format") == RUN_FORMAT:
            run = run_of(content, file.parent)
            if (known := runs.get((run.recipe, run.seed))) is not None:
                log.warning("run.repeated", recipe=run.recipe, seed=run.seed, taken=str(file), left=str(known.folder))
            runs[run.recipe, run.seed] = run
        elif content.get("format") == RECORD_FORMAT:
            records.append(content)
    return Found(list(runs.values()), records)


def print_table(
    number: int,
    folder: Path | None,
    form: str,
    out: Path | None,
    recipe: str | None = None,
    modality: str | None = None,
) -> None:
    """Print one of the paper's tables with ours filled in from the runs in ``folder``, or write it to ``out``.

    Ours are those of the recipe that the table belongs to, or of ``recipe``, whose arms have the same names. Raises
    VimixError if there is no run of that.
    """
    results = find_results(folder) if folder else Found([], [])
    if recipe is not None and recipe not in (known := {run.recipe for run in results.runs}):
        raise VimixError(
            f"--recipe {recipe}: no run of it below {folder or '--runs DIR'}; there are runs of "
            f"{', '.join(sorted(known)) or 'nothing'}"
        )
    table = paper.paper_table(number)
    found = paper.filled(table if recipe is None else table.from_recipe(recipe, modality), results.values)
    text = json.dumps(paper.plain(found), indent=2) + "\n" if form == "json" else paper.markdown(found)
    if out is not None:
        write_text(out, text)
    elif form != "console":
        print(text, end="")
    else:
        Console(width=None if Console().is_terminal else 200).print(paper.console(found))


def summarise(folders: Sequence[Path], out: Path | None, against: str | None = None) -> None:
    """Mean, deviation and paired differences (to the arm ``against``) of runs that differ in their seed.

    A folder may hold several.
    """
    runs = [run for folder in folders for run in _runs_of(folder)]
    if len(runs) < 2:
        raise VimixError("a summary needs at least two runs with different seeds: name more, or use vimix run --seeds")
    if out is None and len(folders) > 1:
        raise VimixError(f"--out is missing: where shall the summary of {len(folders)} runs be written?")
    Console().print(write_summary(out or folders[0], runs, against), markup=False, highlight=False)


def _runs_of(folder: Path) -> list[RunResults]:
    seeds = sorted(folder.glob("seed-*/results.json"))
    return [read_run(file.parent) for file in seeds] if seeds else [read_run(folder)]


def show_stages(folders: Sequence[Path], out: Path | None) -> None:
    """Print what each stage came to in training, over runs that differ in their seed; write it to ``out`` as JSON.

    A folder may hold several. Raises VimixError if the runs are of different recipes, two have one seed, or there is
    none with metrics.
    """
    runs = [run for folder in folders for run in _recipes_below(folder)]
    names, seeds = {recipe.name for _, recipe in runs}, [recipe.seed for _, recipe in runs]
    if len(names) > 1:
        raise VimixError(f"the runs are of different recipes: {', '.join(sorted(names))}; look at each by itself")
    if len(set(seeds)) < len(seeds):
        raise VimixError(f"two runs have the same seed ({sorted(seeds)}): they are one measurement, not two")
    lines = [line for arm in runs[0][1].arms for line in _stage_lines(runs, arm)]
    if not lines:
        raise VimixError(f"{folders[0]}: no stage of {runs[0][1].name} has metrics yet")
    if out is not None:
        write_json(out, stages.plain(lines, runs[0][1].name, seeds))
    Console(width=None if Console().is_terminal else 200).print(stages.stages_table(lines, seeds))


def _stage_lines(runs: Sequence[tuple[Path, config.Recipe]], arm: str) -> Iterator[stages.StageLine]:
    """The stages of an arm that at least one of the runs has begun."""
    recipe = runs[0][1]
    for number, stage in enumerate(recipe.arms[arm].stages, start=1):
        files = [file for folder, _ in runs for file in sorted((folder / arm).glob(f"{number}-*/metrics.jsonl"))]
        found = [stages.reduced(read_metrics(file)) for file in files]
        values = {q.name: [one[q.name] for one in found if q.name in one] for q in stages.QUANTITIES}
        if files:
            known = {name: measured for name, measured in values.items() if measured}
            title, epochs = recipe.arms[arm].about or arm, recipe.stage(stage).epochs
            yield stages.StageLine(title, files[0].parent.name, epochs, known)


def draw_figure(number: int, folder: Path, out: Path, modality: str, arms: Sequence[str]) -> None:
    """Draw the paper's Figure 2 or 3 from the metrics of the runs in ``folder``, with its numbers as JSON beside it.

    Raises VimixError if no run has what it shows, or ``out`` is no name of a picture.
    """
    if out.suffix != ".png":
        raise VimixError(f"--out {out}: expected a name that ends in .png; the numbers go beside it as .json")
    quantities = {
        2: [("knn_accuracy", "kNN accuracy (%)", 100.0)],
        3: [("loss", "loss (nats)", 1.0), ("pretext_accuracy", "pretext accuracy (%)", 100.0)],
    }[number]
    runs = _recipes_below(folder)
    chosen = arms or _usual_arms(number, [arm for _, recipe in runs for arm in recipe.arms])
    panels = []
    for name, label, factor in quantities:
        curves = {_label(runs, arm): _curves(runs, arm, modality, name) for arm in chosen}
        panels.append(figures.Panel(name, label, factor, {arm: found for arm, found in curves.items() if found}))
    if not any(panel.curves for panel in panels):
        raise VimixError(
            f"{folder}: no run below it has {quantities[0][0]} of {modality}"
            + (": set evaluate.knn_every in its recipe" if number == 2 else "")
        )
    figures.draw_panels(out, panels, f"Figure {number}: {modality}")
    write_json(out.with_suffix(".json"), figures.plain(number, modality, panels))
    console = Console()
    for panel in panels:
        console.print(figures.panel_table(panel))
    console.print(f"written to {out} and {out.with_suffix('.json')}")


def _usual_arms(number: int, known: Sequence[str]) -> list[str]:
    arms = list(dict.fromkeys(known))
    named = [arm for arm in (FIGURE_2 if number == 2 else ("moco", "cmmc")) if arm in arms]
    return named if len(named) > 1 else arms


def _recipes_below(folder: Path) -> list[tuple[Path, config.Recipe]]:
    files = sorted({*folder.glob("recipe.toml"), *folder.glob("*/recipe.toml"), *folder.glob("*/*/recipe.toml")})
    if not files:
        raise VimixError(f"{folder}: there is no run below it (no recipe.toml)")
    return [(file.parent, config.recipe_from_toml(file.read_text(encoding="utf-8"), str(file))) for file in files]


def _label(runs: Sequence[tuple[Path, config.Recipe]], arm: str) -> str:
    return next((recipe.arms[arm].about or arm for _, recipe in runs if arm in recipe.arms), arm)


def _curves(runs: Sequence[tuple[Path, config.Recipe]], arm: str, modality: str, name: str) -> list[figures.Curve]:
    """A curve a run (each another seed) that has the quantity."""
    curves = [_curve(folder, recipe, arm, modality, name) for folder, recipe in runs if arm in recipe.arms]
    return [curve for curve in curves if len(curve.epochs)]


def _curve(folder: Path, recipe: config.Recipe, arm: str, modality: str, name: str) -> figures.Curve:
    """The quantity over all stages that train the modality, one behind the other; the mean of each epoch's rows."""
    before = 0
    points: dict[float, list[float]] = {}
    for number, stage in enumerate(recipe.arms[arm].stages):
        trained = stage.pretrain if isinstance(stage, config.PretrainStage) else stage.cmmc
        if trained != modality:
            continue
        for file in (folder / arm).glob(f"{number + 1}-*/metrics.jsonl"):
            for row in read_metrics(file):
                if name in row:
                    points.setdefault(before + row["epoch"] + 1, []).append(row[name])
        before += recipe.stage(stage).epochs
    epochs = sorted(points)
    return figures.Curve(np.array(epochs), np.array([np.mean(points[epoch]) for epoch in epochs]), recipe.seed)


def _contents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """JSON files below the folder that are objects, oldest first."""
    files = sorted(folder.rglob("*.json"), key=lambda file: (file.stat().st_mtime_ns, str(file)))
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # another program's file
        if isinstance(content, dict):
            yield file, content
