"""``vimix experiments figure`` and ``stages``: what training left behind in the metrics of the runs that exist."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.outputs import require_output
from vimix_adapters.reports import figures, stage_tables
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.curves import read_metrics
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.summaries import require_sample

FIGURE_2 = ("moco", "mixup_only", "not_alternate", "cmmc")
"""Without mix, without manifold mixup, without alternate training, CMMC: arms of experiments/table2.toml."""

QUANTITIES: Mapping[int, Sequence[tuple[str, str, float]]] = {
    2: [("knn_accuracy", "kNN accuracy (%)", 100.0)],
    3: [("loss", "loss (nats)", 1.0), ("pretext_accuracy", "pretext accuracy (%)", 100.0)],
}
"""Name in ``metrics.jsonl``, label and factor of what a figure shows."""

NEEDED = ("step", "epoch")
"""Of every row of metrics."""


@frozen(eq=False)
class Trained:
    """A stage that a run has begun."""

    folder: str
    """Its name."""
    modality: str
    epochs: int
    """That it has in all."""
    rows: Sequence[Mapping[str, float]]
    """Of its metrics."""


@frozen(eq=False)
class Traces:
    """What one run's training left behind."""

    recipe: config.Recipe
    stages: Mapping[str, Sequence[Trained]]
    """By arm, in order; one trained by itself (``vimix pretrain``, ``vimix cmmc-stage``) stands under its own name."""

    def curve(self, arm: str, modality: str, quantity: str) -> figures.Curve:
        """The quantity over all stages that train the modality, one behind the other; the mean of each epoch's rows."""
        before = 0
        points: dict[float, list[float]] = {}
        for stage in self.stages.get(arm, ()):
            if stage.modality == modality:
                for row in stage.rows:
                    if quantity in row:
                        points.setdefault(before + row["epoch"] + 1, []).append(row[quantity])
                before += stage.epochs
        epochs = sorted(points)
        return figures.Curve(np.array(epochs), np.array([np.mean(points[at]) for at in epochs]), self.recipe.seed)

    def title(self, arm: str) -> str:
        """Of an arm, as in the table of results."""
        return self.recipe.title(arm)


def draw_figure(number: int, folder: Path, out: Path, modality: str, arms: Sequence[str]) -> None:
    """Draw the paper's Figure 2 or 3 from the metrics of the runs in ``folder``, with its numbers as JSON beside it.

    Raises VimixError if no run has what it shows or one of the ``arms``, they are of different recipes, two have one
    seed, ``out`` is no name of a picture, or something else lies there or beside it.
    """
    if out.suffix != ".png":
        raise VimixError(f"--out {out}: expected a name that ends in .png; the numbers go beside it as .json")
    require_output(out, figures.PICTURE)
    require_output(out.with_suffix(".json"), figures.NUMBERS)
    runs = read_traces(folder)
    _seeds(runs)
    known = _all_arms(runs)
    if unknown := [arm for arm in arms if arm not in known]:
        raise VimixError(
            f"--arms {','.join(unknown)}: {folder} has no such arm; it has {', '.join(known) or 'none yet'}"
        )
    chosen = arms or _usual_arms(number, known)
    panels = [figures.Panel(*shown, _curves(runs, chosen, modality, shown[0])) for shown in QUANTITIES[number]]
    if not any(panel.curves for panel in panels):
        raise VimixError(
            f"{folder}: no run below it has {panels[0].name} of {modality}"
            + (": set evaluate.knn_every in its recipe" if number == 2 else "")
        )
    figures.draw_panels(out, panels, f"Figure {number}: {modality}")
    write_json(out.with_suffix(".json"), figures.plain(number, modality, panels))
    for panel in panels:
        show_table(figures.panel_table(panel))
    print(f"written to {out} and {out.with_suffix('.json')}")


def show_stages(folders: Sequence[Path], out: Path | None) -> None:
    """Print what each stage came to in training, over runs that differ in their seed; write it to ``out`` as JSON.

    A folder may hold several. Raises VimixError if the runs are of different recipes, two have one seed, or there is
    none with metrics, or ``out`` holds something else.
    """
    if out is not None:
        require_output(out, stage_tables.STAGES)
    runs = [run for folder in folders for run in read_traces(folder)]
    seeds = _seeds(runs)
    lines = [line for arm in _all_arms(runs) for line in _lines(runs, arm)]
    if not lines:
        raise VimixError(f"{folders[0]}: no stage of {runs[0].recipe.name} has metrics yet")
    if out is not None:
        write_json(out, stage_tables.plain(lines, runs[0].recipe.name, seeds))
    show_table(stage_tables.stages_table(lines, seeds))


def read_traces(folder: Path) -> list[Traces]:
    """Of all runs in the folder or up to two below it. Raises VimixError if there is none."""
    files = sorted({*folder.glob("recipe.toml"), *folder.glob("*/recipe.toml"), *folder.glob("*/*/recipe.toml")})
    if not files:
        raise VimixError(f"{folder}: there is no run below it (no recipe.toml)")
    return [_traces(file) for file in files]


def _traces(file: Path) -> Traces:
    recipe = config.read_recipe(file)
    places = {
        name: [
            (file.parent / name / f"{number}-{stage.name}", stage) for number, stage in enumerate(arm.stages, start=1)
        ]
        for name, arm in recipe.arms.items()
    }
    alone = {stage.name: [(file.parent / stage.name, stage)] for stage in _possible(recipe)}
    begun = {name: _begun(recipe, places) for name, places in {**places, **alone}.items()}
    return Traces(recipe, {name: trained for name, trained in begun.items() if trained})


def _seeds(runs: Sequence[Traces]) -> list[int]:
    """Of the runs, which must be a sample."""
    seeds = [run.recipe.seed for run in runs]
    require_sample([run.recipe.name for run in runs], seeds)
    return seeds


def _possible(recipe: config.Recipe) -> list[config.Stage]:
    """All stages that can be trained by themselves."""
    stages: list[config.Stage] = [config.PretrainStage(modality) for modality in recipe.modalities]
    partners = (None, *recipe.modalities)
    stages += [config.CmmcStage(modality, partner) for modality in recipe.modalities for partner in partners]
    return stages


def _begun(recipe: config.Recipe, places: Sequence[tuple[Path, config.Stage]]) -> list[Trained]:
    return [
        Trained(folder.name, stage.modality, recipe.stage(stage).epochs, read_metrics(folder / "metrics.jsonl", NEEDED))
        for folder, stage in places
        if (folder / "metrics.jsonl").exists()
    ]


def _all_arms(runs: Sequence[Traces]) -> list[str]:
    """Those that have begun, in order."""
    return list(dict.fromkeys(arm for run in runs for arm in run.stages))


def _usual_arms(number: int, known: Sequence[str]) -> Sequence[str]:
    """The paper's, if at least two of them have begun; else all that have."""
    named = [arm for arm in (FIGURE_2 if number == 2 else ("moco", "cmmc")) if arm in known]
    return named if len(named) > 1 else known


def _curves(
    runs: Sequence[Traces], arms: Sequence[str], modality: str, quantity: str
) -> dict[str, list[figures.Curve]]:
    """By title of the arms that have any: a curve a run, each of another seed."""
    found = {
        _title(runs, arm): [run.curve(arm, modality, quantity) for run in runs if arm in run.stages] for arm in arms
    }
    measured = {title: [curve for curve in curves if len(curve.epochs)] for title, curves in found.items()}
    return {title: curves for title, curves in measured.items() if curves}


def _title(runs: Sequence[Traces], arm: str) -> str:
    return next((run.title(arm) for run in runs if arm in run.stages), arm)


def _lines(runs: Sequence[Traces], arm: str) -> list[stage_tables.StageLine]:
    """The stages of an arm that at least one of the runs has begun."""
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
