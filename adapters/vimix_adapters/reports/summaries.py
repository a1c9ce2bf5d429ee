"""Several runs of one recipe with different seeds: means, deviations and paired differences between arms."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import asdict, evolve, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import require_writable, write_text
from vimix_adapters.reading import read_json
from vimix_adapters.reports.console import markdown_table
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT
from vimix_adapters.reports.tables import LINEAR, UNTRAINED, Row, score_names
from vimix_adapters.structuring import structured

FORMAT = "vimix-summary-1"
CONFIDENCE = 0.95
COMPARED = ("R@1", "top-1")
"""Scores whose differences between arms are reported."""


@frozen
class RowKey:
    """The identity of a row: equal keys denote the same measurement in different runs."""

    key: str
    """Key of the arm in the recipe; in older results its title."""
    streams: frozenset[str]
    """Modalities."""
    tested_on: str
    """Key in [evaluate.stores] of another data set than the run's own."""
    arm: str = field(eq=False)
    """Title of the arm."""
    modality: str = field(eq=False)
    """Modality or streams as the table shows them."""

    @property
    def title(self) -> str:
        """Title of the arm, with the data set if it is not the run's own."""
        return f"{self.arm}, on {self.tested_on}" if self.tested_on else self.arm

    @property
    def plain(self) -> dict[str, str]:
        """Plain data for the record."""
        return {"arm": self.arm, "key": self.key, "modality": self.modality, "tested_on": self.tested_on}


@frozen(eq=False)
class RunResults:
    """The rows in the ``results.json`` of one run."""

    folder: Path
    recipe: str
    seed: int
    rows: Sequence[Row]
    data: str = ""
    """Fingerprint of the training store."""


@frozen
class _About:
    seed: int
    name: str = ""
    data: str = ""


@frozen
class _Table:
    """The parts of a ``results.json`` that are read."""

    rows: Sequence[Row]
    about: _About


@frozen
class Spread:
    """A score from 0 to 1 over the seeds of one recipe."""

    mean: float
    deviation: float | None
    """Standard deviation of the sample (n - 1); None for a single run."""
    by_seed: Sequence[float]


@frozen
class Difference:
    """The mean difference between two arms over pairs of equal seeds, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def points(self) -> str:
        """The mean in percentage points, ``+0.9``."""
        return f"{100 * self.mean:+.1f}"

    @property
    def interval(self) -> str:
        """The interval in percentage points, ``-0.3 to +2.1``."""
        return f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"


def read_run(folder: Path) -> RunResults:
    """Read the results of the run in ``folder``. Raises VimixError naming the file if they are missing or invalid."""
    file = folder / "results.json"
    return run_of(read_json(file, "the results of a run"), file)


def run_of(content: object, file: Path) -> RunResults:
    """Return results from the parsed content of their file. Raises VimixError if it is not valid."""
    expected = "the results of a run (vimix run)"
    found = content.get("format") if isinstance(content, dict) else "no object"
    if found != RUN_FORMAT:
        raise VimixError(f"{file} is not {expected}: expected {RUN_FORMAT}, found {found}")
    table = structured(content, _Table, file, expected)
    try:
        score_names(name for row in table.rows for name in row.scores)
    except ValueError as error:
        raise VimixError(f"{file}: expected {expected}, but {error}") from error
    return RunResults(file.parent, table.about.name, table.about.seed, table.rows, table.about.data)


def by_seed(runs: Sequence[RunResults]) -> dict[RowKey, dict[str, list[float]]]:
    """Return scores by row and name that every run has, one value per run in the given order.

    Raises VimixError if two runs have the same seed or different recipes, or a run has a row twice.
    """
    require_sample([run.recipe for run in runs], [run.seed for run in runs])
    keyed = all(row.key for run in runs for row in run.rows)
    tables = [_scores_by_key(run, keyed) for run in runs]
    return {
        key: {
            name: [table[key][name] for table in tables]
            for name in scores
            if all(name in table[key] for table in tables)
        }
        for key, scores in tables[0].items()
        if all(key in table for table in tables)
    }


def _scores_by_key(run: RunResults, keyed: bool) -> dict[RowKey, Mapping[str, float]]:
    """The scores by row; equal titles of several arms get the arms' keys added."""
    titles = {(row.arm, row.key) for row in run.rows}
    ambiguous = {title for title, count in Counter(title for title, _ in titles).items() if count > 1}
    table: dict[RowKey, Mapping[str, float]] = {}
    for row in run.rows:
        title = f"{row.arm} ({row.key})" if keyed and row.arm in ambiguous else row.arm
        key = RowKey(row.key if keyed else row.arm, row.streams, row.tested_on, title, row.modality)
        if key in table:
            raise VimixError(
                f"{run.folder / 'results.json'}: expected one row of {key.title}, {key.modality}, found two; run "
                "vimix run again, which evaluates anew"
            )
        table[key] = row.scores
    return table


def require_sample(recipes: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise VimixError unless the runs are of one recipe with different seeds."""
    if len(names := set(recipes)) > 1:
        raise VimixError(f"the runs are of different recipes: {', '.join(sorted(names))}; summarise each by itself")
    if len(set(seeds)) < len(seeds):
        raise VimixError(f"two runs have the same seed ({sorted(seeds)}): they are one measurement, not two")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation of a sample (n - 1), which is None for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def spread(values: Sequence[float]) -> Spread:
    """Mean, deviation and values of a score."""
    return Spread(*mean_and_deviation(values), list(values))


def paired_difference(ones: Sequence[float], others: Sequence[float]) -> Difference | None:
    """Mean of ``ones`` minus ``others``, pair by pair, with Student's interval; None for fewer than two pairs."""
    from scipy.stats import t

    differences = np.subtract(ones, others)
    if len(differences) < 2:
        return None
    mean = float(differences.mean())
    margin = float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * float(differences.std(ddof=1))
    margin /= math.sqrt(len(differences))
    return Difference(mean, mean - margin, mean + margin, len(differences))


def require_place_for_summary(folder: Path) -> None:
    """Raise VimixError if the results of a single run, which a summary would replace, lie in the folder."""
    if (folder / "recipe.toml").exists():
        raise VimixError(
            f"{folder} is the folder of a single run (it has a recipe.toml), whose results would be lost: choose "
            "another --out for those of several seeds"
        )
    require_writable(folder / "results.json")


def require_place_for_run(folder: Path) -> None:
    """Raise VimixError if runs of several seeds lie in the folder, or results whose run lies elsewhere."""
    if next(folder.glob("seed-*/recipe.toml"), None) is not None:
        raise VimixError(f"{folder} holds runs of several seeds: choose another --out for a single run")
    if (folder / "results.json").exists() and not (folder / "recipe.toml").exists():
        raise VimixError(f"{folder / 'results.json'} is not of a run in this folder: choose another --out")
    require_writable(folder / "results.json")


def write_summary(folder: Path, runs: Sequence[RunResults], against: str | None = None) -> str:
    """Write ``results.json`` and ``results.md`` of several seeds into ``folder``; return the Markdown.

    Arms are compared with the arm ``against`` (its key in the recipe), by default the first. Raises VimixError if there
    is no such arm, or the runs are not of one recipe and one store with different seeds.
    """
    data = {run.data for run in runs if run.data}  # older results do not say what they were trained on
    if len(data) > 1:
        listed = ", ".join(f"{run.folder} on {run.data}" for run in runs)
        raise VimixError(f"the runs are of different data, so their scores do not compare: {listed}")
    scores = by_seed(runs)
    reference = _reference(runs, scores, against)
    differences = [
        (row, name, difference)
        for row, name, ones, others in compared(scores, reference.key)
        if (difference := paired_difference(ones, others))
    ]
    seeds = [run.seed for run in runs]
    rows = [
        {**row.plain, "scores": {name: asdict(spread(values)) for name, values in named.items()}}
        for row, named in scores.items()
    ]
    recorded = [
        {**row.plain, "score": name, "less": reference.arm, **asdict(difference)}
        for row, name, difference in differences
    ]
    remarks = [remark_start(run.seed, row) + row.remark for run in runs for row in run.rows if row.remark]
    content = {"format": FORMAT, "recipe": runs[0].recipe, "data": next(iter(data), ""), "seeds": seeds, "rows": rows}
    write_json(folder / "results.json", {**content, "differences": recorded, "remarks": remarks})
    text = _markdown(runs[0].recipe, seeds, scores, differences, reference.arm)
    if remarks:
        text += "\nThese trainings failed; do not use their scores:\n\n" + "".join(f"- {r}\n" for r in remarks)
    write_text(folder / "results.md", text)
    return text


def remark_start(seed: int, row: Row) -> str:
    """Return the words before a row's remark in a summary."""
    return f"seed {seed}, {row.title}, {row.modality}: "


def _reference(runs: Sequence[RunResults], rows: Iterable[RowKey], against: str | None) -> RowKey:
    """A row of the arm that the others are compared with."""
    arms: dict[str, RowKey] = {}
    for row in rows:
        arms.setdefault(row.key, row)
    if not arms:
        files = ", ".join(str(run.folder / "results.json") for run in runs)
        raise VimixError(f"{files}: expected scores of the same arms and modalities, but no row is in all of them")
    if against is None:
        return next((row for key, row in arms.items() if key != UNTRAINED), next(iter(arms.values())))
    if against not in arms:
        raise VimixError(f"--against {against}: {runs[0].folder} has no such arm; it has {', '.join(arms)}")
    return arms[against]


def compared(
    scores: Mapping[RowKey, Mapping[str, Sequence[float]]], reference: str
) -> Iterator[tuple[RowKey, str, Sequence[float], Sequence[float]]]:
    """Yield row, name, scores and the reference's scores for each row of another arm than ``reference``, by its key.

    Rows are compared with those of the same modalities on the same data.
    """
    for row, named in scores.items():
        base = scores.get(evolve(row, key=reference), {})
        if row.key != reference:
            yield from ((row, name, named[name], base[name]) for name in COMPARED if name in named and name in base)


def _markdown(
    recipe: str,
    seeds: Sequence[int],
    scores: Mapping[RowKey, Mapping[str, Sequence[float]]],
    differences: Sequence[tuple[RowKey, str, Difference]],
    reference: str,
) -> str:
    names = score_names(name for named in scores.values() for name in named)
    headings = ["arm", "modality", *(LINEAR.get(name, name) for name in names)]
    body = [
        [row.title, row.modality, *(cell(named[name]) if name in named else "-" for name in names)]
        for row, named in scores.items()
    ]
    text = (
        f"# Results of {recipe}\n\nPer cent, mean ± standard deviation over the seeds {', '.join(map(str, seeds))}.\n\n"
    )
    text += markdown_table(headings, body, "llr")
    if differences:
        text += f"\nDifference to {reference}, paired by seed, with its 95 % confidence interval (points).\n\n"
        lines = [
            [row.title, row.modality, LINEAR.get(name, name), d.points, d.interval] for row, name, d in differences
        ]
        text += markdown_table(["arm", "modality", "score", "difference", "interval"], lines, "lllr")
    return text


def cell(values: Sequence[float]) -> str:
    """Mean and deviation in per cent, ``12.3 ± 0.4``, or ``12.3`` for a single value."""
    mean, deviation = mean_and_deviation(values)
    return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f}"
