"""``vimix experiments table`` and ``summarise``: the paper's tables, and several seeds, from the runs that exist."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.reports import paper
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.results import FORMAT as RECORD_FORMAT
from vimix_adapters.reports.results import ResultRecord, read_results
from vimix_adapters.reports.summaries import RunResults, read_run, run_of, write_summary
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT

log = structlog.get_logger()


@frozen(eq=False)
class Found:
    """What lies in a folder of runs."""

    runs: Sequence[RunResults]
    records: Sequence[tuple[Path, ResultRecord]]
    """Of ``vimix evaluate``, each with its file, oldest first."""

    def values(self, source: paper.Source) -> list[float]:
        """One value a seed, in order of the seeds; empty if there is none."""
        found = self._recorded(source) if source.task != "run" else self._tabled(source)
        return [value for _, value in sorted(found.items())]

    def _tabled(self, source: paper.Source) -> dict[int, float]:
        place = (source.arm, source.modality, source.tested_on)
        return {
            run.seed: row.scores[source.score]
            for run in self.runs
            if run.recipe == source.recipe
            for row in run.rows
            if (row.key, row.modality, row.tested_on) == place and source.score in row.scores
        }

    def _recorded(self, source: paper.Source) -> dict[tuple[int, int], float]:
        """By seed of the evaluation and of the encoders: these differ where several runs are evaluated with one."""
        return {
            (record.seed, _pretrained_with(record)): float(record.scores[source.score])
            for file, record in self.records
            if _belongs(record, source, file) and source.score in record.scores
        }


def _belongs(record: ResultRecord, source: paper.Source, file: Path) -> bool:
    """Whether the record is what the row means; tells of one that looks like it, but is of something else."""
    place = (record.task, record.recipe, record.tested_on, " + ".join(record.checkpoints))
    if place != (source.task, source.recipe, source.tested_on, source.modality):
        return False
    if reason := next(_strange(record, source), ""):
        log.info("record.left_out", file=str(file), reason=reason)
    return not reason


def _strange(record: ResultRecord, source: paper.Source) -> Iterator[str]:
    """What makes the record another than that of the arm's final encoders, evaluated by the row's protocol."""
    for modality, about in record.checkpoints.items():
        if about.get("init") == "random":
            yield f"{modality} began with random weights"
        elif (arm := about.get("arm") or "none") != source.arm:
            yield f"{modality} is of arm {arm}, the row of {source.arm}"
        elif about.get("stages_to_come", 0) or not _finished(about):
            yield f"{modality} was not yet trained to the end of its arm"
    if len({about.get("seed") for about in record.checkpoints.values()}) > 1:
        yield "the encoders are of runs with different seeds"
    if (name := record.protocol.get("name")) != source.protocol:
        yield f"protocol {name}, the row's is {source.protocol}"
    if changed := record.protocol.get("changed_by_the_recipe"):
        yield f"the recipe changed its protocol ({', '.join(changed)})"


def _finished(about: Mapping[str, Any]) -> bool:
    return int(about.get("steps", 0)) >= int(about.get("epochs", 0)) * int(about.get("steps_per_epoch", 0))


def _pretrained_with(record: ResultRecord) -> int:
    """The seed of the encoders, which is one; the record's own where they do not tell."""
    return int(next(iter(record.checkpoints.values())).get("seed", record.seed))


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
            records.append((file, read_results(file)))
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
    files = sorted(folder.rglob("*.json"), key=lambda file: (file.stat().st_mtime_ns, str(file)))
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # another program's file
        if isinstance(content, dict):
            yield file, content
