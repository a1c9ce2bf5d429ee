"""``vimix experiments table`` and ``summarise``: the paper's tables with our numbers, and summaries over seeds."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from attrs import asdict, frozen

from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.files import require_folder, require_new, write_text
from vimix_adapters.reading import read_json
from vimix_adapters.reports import paper
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.evaluated import Evaluated, evaluated_of
from vimix_adapters.reports.recorded import recorded_runs
from vimix_adapters.reports.results import FORMAT as RECORD_FORMAT
from vimix_adapters.reports.summaries import RunResults, read_run, require_place_for_summary, run_of, write_summary
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT
from vimix_adapters.reports.tables import streams_of

log = structlog.get_logger()

FINETUNE: dict[str, Any] = json.loads(json.dumps(asdict(config.PROTOCOLS["vimix"].finetuning["planes"])))
"""Settings of finetuning that the paper's rows are trained with (A.1), as JSON has them."""
del FINETUNE["bn_groups"]  # depends on the number of processes


@frozen(eq=False)
class RecordedResults:
    """The results in a folder of runs."""

    runs: Sequence[RunResults]
    records: Sequence[Evaluated]
    """Records of ``vimix evaluate``, oldest first."""

    def values(self, source: paper.Source) -> list[float]:
        """Return one value per seed, in the order of the seeds; empty if there is none."""
        by_seed = self._recorded(source) if source.task != "run" else self._tabled(source)
        return [value for _, value in sorted(by_seed.items())]

    def _tabled(self, source: paper.Source) -> dict[int, float]:
        wanted = (source.arm, streams_of(source.modality), source.tested_on)
        return {
            run.seed: row.scores[source.score]
            for run in self.runs
            if run.recipe == source.recipe
            for row in run.rows
            if (row.key, row.streams, row.tested_on) == wanted and source.score in row.scores
        }

    def _recorded(self, source: paper.Source) -> dict[tuple[int, int], float]:
        return {
            evaluated.seeds: evaluated.record.scores[source.score]
            for evaluated in self.records
            if source.score in evaluated.record.scores and evaluated.belongs(source, FINETUNE)
        }


def find_results(folder: Path) -> RecordedResults:
    """Read all results below a folder; of two runs with the same recipe and seed, the newer one counts.

    Raises VimixError if it is no folder, or a file of results in it is not valid.
    """
    require_folder(folder, "runs below it")
    runs: dict[tuple[str, int], RunResults] = {}
    records = []
    for file, content in _contents(folder):
        if content.get("format") == RUN_FORMAT:
            run = run_of(content, file)
            if (older := runs.get((run.recipe, run.seed))) is not None:
                log.warning("run.repeated", recipe=run.recipe, seed=run.seed, taken=str(file), left=str(older.folder))
            runs[run.recipe, run.seed] = run
        elif content.get("format") == RECORD_FORMAT:
            records.append(evaluated_of(content, file))
    return RecordedResults(list(runs.values()), records)


def print_table(
    number: int,
    folder: Path | None,
    form: str,
    out: Path | None,
    recipe: str | None = None,
    modality: str | None = None,
    force: bool = False,
) -> None:
    """Print one of the paper's tables with our numbers from the runs in ``folder``, or write it to ``out``.

    ``form`` is ``console``, ``markdown`` or ``json``. Our numbers are those of the table's recipe, or of ``recipe``,
    whose arms have the same names; ``modality`` then replaces that of all rows. Raises VimixError if ``recipe`` was
    not run, ``modality`` is given without it, or ``out`` exists and ``force`` is false.
    """
    if modality and not recipe:
        raise VimixError("--modality replaces the modality of another recipe's rows: name the recipe with --recipe")
    if out is not None:
        require_new(out, force)
    results = find_results(folder) if folder else RecordedResults([], [])
    if recipe is not None and recipe not in (recipes := {run.recipe for run in results.runs}):
        raise VimixError(
            f"--recipe {recipe}: no run of it below {folder or '--runs DIR'}; there are runs of "
            f"{', '.join(sorted(recipes)) or 'nothing'}"
        )
    table = paper.paper_table(number)
    filled = paper.filled(table if recipe is None else table.from_recipe(recipe, modality), results.values)
    text = json.dumps(paper.plain(filled), indent=2) + "\n" if form == "json" else paper.markdown(filled)
    if out is not None:
        write_text(out, text)
    elif form != "console":
        print(text, end="")
    else:
        show_table(paper.console(filled))


def summarise(folders: Sequence[Path], out: Path | None, against: str | None = None, force: bool = False) -> None:
    """Write mean, deviation and paired differences (from the arm ``against``) of runs with different seeds.

    A folder may hold several runs; a file is an earlier summary, which stands for the runs that it was made of. Raises
    VimixError if there are fewer than two runs, they are not of one recipe with different seeds, ``out`` is missing for
    several folders or a file, or is a run, or holds results and ``force`` is false.
    """
    runs = sorted((run for folder in folders for run in _runs_of(folder)), key=lambda run: run.seed)
    if len(runs) < 2:
        raise VimixError("a summary needs at least two runs with different seeds: name more, or use vimix run --seeds")
    if out is None and (len(folders) > 1 or folders[0].is_file()):
        raise VimixError(f"--out is missing: name the folder for the summary of {len(runs)} runs")
    target = out or folders[0]
    require_place_for_summary(target)
    require_new(target / "results.json", force)
    print(write_summary(target, runs, against))


def _runs_of(folder: Path) -> list[RunResults]:
    if folder.is_file():
        return recorded_runs(folder)
    seeds = sorted(folder.glob("seed-*/results.json"))
    return [read_run(file.parent) for file in seeds] if seeds else [read_run(folder)]


def _contents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield JSON files below the folder that hold an object, oldest first."""
    present = (file for file in folder.rglob("*.json") if file.is_file())  # neither a folder nor a broken link
    files = sorted(present, key=lambda file: (file.stat().st_mtime_ns, str(file)))
    for file in files:
        try:
            content = read_json(file, "JSON")
        except VimixError as error:
            log.warning("file.unreadable", file=str(file), reason=str(error))
            continue
        if isinstance(content, dict):
            yield file, content
