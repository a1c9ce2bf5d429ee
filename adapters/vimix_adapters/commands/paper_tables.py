"""``vimix experiments table`` and ``summarise``: the paper's tables, and several seeds, from the runs that exist."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import require_folder, write_text
from vimix_adapters.outputs import json_with, require_output, text_with
from vimix_adapters.reports import paper
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.evaluated import Evaluated, evaluated_of
from vimix_adapters.reports.results import FORMAT as RECORD_FORMAT
from vimix_adapters.reports.summaries import RunResults, read_run, run_of, write_summary
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT
from vimix_adapters.reports.tables import streams_of

log = structlog.get_logger()

TABLES = {
    "json": json_with("a table of the paper in JSON", key="lines", endings=()),
    "markdown": text_with("a table in Markdown", "| "),
}
"""What ``vimix experiments table`` writes, by form."""


@frozen(eq=False)
class Found:
    """What lies in a folder of runs."""

    runs: Sequence[RunResults]
    records: Sequence[Evaluated]
    """Oldest first."""

    def values(self, source: paper.Source) -> list[float]:
        """One value a seed, in order of the seeds; empty if there is none."""
        found = self._recorded(source) if source.task != "run" else self._tabled(source)
        return [value for _, value in sorted(found.items())]

    def _tabled(self, source: paper.Source) -> dict[int, float]:
        place = (source.arm, streams_of(source.modality), source.tested_on)
        return {
            run.seed: row.scores[source.score]
            for run in self.runs
            if run.recipe == source.recipe
            for row in run.rows
            if (row.key, row.streams, row.tested_on) == place and source.score in row.scores
        }

    def _recorded(self, source: paper.Source) -> dict[tuple[int, int], float]:
        return {
            found.seeds: found.record.scores[source.score]
            for found in self.records
            if source.score in found.record.scores and found.belongs(source)
        }


def find_results(folder: Path) -> Found:
    """All results below a folder; of two with one recipe and seed the newer.

    Raises VimixError if it is no folder, or a file in it that holds results was changed into something else.
    """
    require_folder(folder, "runs below it")
    runs: dict[tuple[str, int], RunResults] = {}
    records = []
    for file, content in _contents(folder):
        if content.get("format") == RUN_FORMAT:
            run = run_of(content, file)
            if (known := runs.get((run.recipe, run.seed))) is not None:
                log.warning("run.repeated", recipe=run.recipe, seed=run.seed, taken=str(file), left=str(known.folder))
            runs[run.recipe, run.seed] = run
        elif content.get("format") == RECORD_FORMAT:
            records.append(evaluated_of(content, file))
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
    VimixError if there is no run of that, or ``out`` holds something else.
    """
    if out is not None:
        require_output(out, TABLES["json" if form == "json" else "markdown"])
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
        show_table(paper.console(found))


def summarise(folders: Sequence[Path], out: Path | None, against: str | None = None) -> None:
    """Mean, deviation and paired differences (to the arm ``against``) of runs that differ in their seed.

    A folder may hold several.
    """
    runs = [run for folder in folders for run in _runs_of(folder)]
    if len(runs) < 2:
        raise VimixError("a summary needs at least two runs with different seeds: name more, or use vimix run --seeds")
    if out is None and len(folders) > 1:
        raise VimixError(f"--out is missing: where shall the summary of {len(folders)} runs be written?")
    print(write_summary(out or folders[0], runs, against))


def _runs_of(folder: Path) -> list[RunResults]:
    seeds = sorted(folder.glob("seed-*/results.json"))
    return [read_run(file.parent) for file in seeds] if seeds else [read_run(folder)]


def _contents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """JSON files below the folder that are objects, oldest first."""
    found = (file for file in folder.rglob("*.json") if file.is_file())  # no folder, and no link to nothing
    files = sorted(found, key=lambda file: (file.stat().st_mtime_ns, str(file)))
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # another program's file
        if isinstance(content, dict):
            yield file, content
