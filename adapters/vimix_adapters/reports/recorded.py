"""Recorded summaries of several seeds: their runs, and the differences whose 95 % interval does not contain 0."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve, frozen

from vimix.values.errors import VimixError
from vimix_adapters.reading import read_json
from vimix_adapters.reports.console import markdown_table
from vimix_adapters.reports.summaries import COMPARED, FORMAT, Difference, RunResults, Spread, remark_start
from vimix_adapters.reports.tables import LINEAR, Row, scores_line, streams_of
from vimix_adapters.structuring import structured


@frozen
class RecordedDifference(Difference):
    """A difference in the record, as shares of 1, and what it is of."""

    arm: str
    modality: str
    score: str
    less: str
    """Title of the arm that was subtracted."""
    key: str = ""
    """Key of the arm in the recipe; older records have none."""
    tested_on: str = ""

    @property
    def decided(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table, in points."""
        score = LINEAR.get(self.score, self.score)
        return (f"{self.arm} minus {self.less}", self.modality, score, self.points, self.interval)


@frozen
class RecordedRow:
    """The scores of an arm with one modality, or with several streams, over the seeds of the record."""

    arm: str
    modality: str
    scores: Mapping[str, Spread]
    key: str = ""
    """Key of the arm in the recipe; older records have none."""
    tested_on: str = ""


@frozen
class Record:
    """The parts of a summary that are read."""

    recipe: str
    seeds: Sequence[int]
    rows: Sequence[RecordedRow]
    differences: Sequence[RecordedDifference]
    remarks: Sequence[str] = ()
    data: str = ""
    """Fingerprint of the training store; older records have none."""


def read_record(path: Path) -> Record:
    """Read a summary that ``vimix experiments summarise`` has written. Raises VimixError if the file is none."""
    expected = "a summary of several seeds (vimix experiments summarise)"
    content = read_json(path, expected)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise VimixError(f"{path}: expected {expected}, of format {FORMAT}")
    return structured(content, Record, path, expected)


def recorded_runs(path: Path) -> list[RunResults]:
    """Read a summary as the runs that it was made of, in their order. Raises VimixError as ``read_record``."""
    record = read_record(path)
    return [_run(path, record, index) for index in range(len(record.seeds))]


def _run(path: Path, record: Record, index: int) -> RunResults:
    rows = []
    for row in record.rows:
        scores = {name: values.by_seed[index] for name, values in row.scores.items()}
        plain = Row(row.arm, row.modality, scores, row.key, row.tested_on)
        start = remark_start(record.seeds[index], plain)
        remark = next((text.removeprefix(start) for text in record.remarks if text.startswith(start)), "")
        rows.append(evolve(plain, remark=remark))
    return RunResults(path, record.recipe, record.seeds[index], rows, record.data)


def decided_markdown(record: Record, arms: Sequence[str] = ()) -> str:
    """Return the decided differences as a Markdown table, and the number of those that are not decided.

    ``arms`` are the keys of the arms to show, by default all. Raises VimixError for an arm without differences.
    """
    shown = _shown(record, arms)
    decided = [difference for difference in shown if difference.decided]
    headings = ["difference", "modality", "score", "points", "95 % interval"]
    seeds, rest = ", ".join(map(str, record.seeds)), len(shown) - len(decided)
    return (
        f"Recorded for {record.recipe}, seeds {seeds}: differences whose interval does not contain 0.\n\n"
        + markdown_table(headings, [difference.cells for difference in decided], "lllr")
        + f"\nThe interval contains 0 for {rest} of {len(shown)} differences.\n"
    )


def marked_markdown(record: Record, run: RunResults, arms: Sequence[str] = ()) -> str:
    """Return a run's scores as a Markdown table, with the record's differences beside them and a mark on decided ones.

    ``arms`` are the keys of the arms whose differences are shown, by default all. Raises VimixError for an arm without
    differences, or if the run is of another recipe.
    """
    if run.recipe != record.recipe:
        raise VimixError(
            f"--run {run.folder} is of the recipe {run.recipe}: give a run of {record.recipe}, as the record is"
        )
    shown = _shown(record, arms)
    differences = {(each.key, streams_of(each.modality), each.tested_on, each.score): each for each in shown}
    less = next((found.less for found in differences.values()), "the baseline")
    seeds = ", ".join(map(str, record.seeds))

    def recorded(row: Row, score: str) -> str:
        found = differences.get((row.key, row.streams, row.tested_on, score))
        return f"{found.points} ({found.interval}){' *' if found.decided else ''}" if found else ""

    names = [LINEAR.get(score, score) for score in COMPARED]
    headings = ["arm", "modality", *names, *(f"{name} minus {less}" for name in names)]
    cells = [[*scores_line(row, COMPARED), *(recorded(row, score) for score in COMPARED)] for row in run.rows]
    return (
        f"This run, seed {run.seed}, in per cent; beside it the mean differences over the recorded seeds {seeds}, in "
        f"points, with 95 % intervals.\n\n{markdown_table(headings, cells, 'llr')}\n"
        "*: the interval does not contain 0, so the recorded seeds decide this difference.\n"
    )


def _shown(record: Record, arms: Sequence[str]) -> list[RecordedDifference]:
    """The differences of the arms with these keys, by default all. Raises VimixError for an arm without any."""
    keys = sorted({difference.key for difference in record.differences})
    if missing := [arm for arm in arms if arm not in keys]:
        raise VimixError(f"--arms {', '.join(missing)}: the record of {record.recipe} has {', '.join(keys)}")
    return [difference for difference in record.differences if difference.key in (arms or keys)]
