"""Runs that differ in their seed: mean, standard deviation, and paired differences between arms."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.outputs import json_with, require_output
from vimix_adapters.reports.markdown import markdown_table
from vimix_adapters.reports.read_json import structured
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT
from vimix_adapters.reports.tables import LINEAR, RESULTS, UNTRAINED, Row, score_names

FORMAT = "vimix-summary-1"
SUMMARY = json_with("the summary of several seeds", value=FORMAT)
CONFIDENCE = 0.95
COMPARED = ("R@1", "top-1")
"""Scores whose differences between arms are told."""


@frozen
class RowKey:
    """A row of a table, by what it is and not by how it is shown."""

    key: str
    """The arm's name in the recipe; in older results its title."""
    streams: frozenset[str]
    tested_on: str
    """Name of another data set."""
    arm: str = field(eq=False)
    """Its title."""
    modality: str = field(eq=False)

    @property
    def title(self) -> str:
        """The arm, and where it was tested if not on the run's own data."""
        return f"{self.arm}, on {self.tested_on}" if self.tested_on else self.arm

    @property
    def plain(self) -> dict[str, str]:
        """For the record."""
        return {"arm": self.arm, "key": self.key, "modality": self.modality, "tested_on": self.tested_on}


@frozen(eq=False)
class RunResults:
    """What one run's ``results.json`` says."""

    folder: Path
    recipe: str
    seed: int
    rows: Sequence[Row]


@frozen
class _About:
    seed: int
    name: str = ""


@frozen
class _Table:
    """What is read of a ``results.json``."""

    rows: Sequence[Row]
    about: _About


@frozen
class Difference:
    """Of two arms, pair by pair of seeds: the mean, and the interval that holds it with 95 % confidence."""

    mean: float
    low: float
    high: float
    pairs: int


def read_run(folder: Path) -> RunResults:
    """The results in ``folder``. Raises VimixError naming the file if there are none of one run."""
    file = folder / "results.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VimixError(f"{file}: expected the results of a run, but it cannot be read ({error})") from error
    return run_of(content, file)


def run_of(content: object, file: Path) -> RunResults:
    """The results of a run from the content of its file. Raises VimixError if it is another file, or was changed."""
    expected = "the results of a run (vimix run)"
    found = content.get("format") if isinstance(content, dict) else "no object"
    if found != RUN_FORMAT:
        raise VimixError(f"{file} is not {expected}: expected {RUN_FORMAT}, found {found}")
    table = structured(content, _Table, file, expected)
    try:
        score_names(name for row in table.rows for name in row.scores)
    except ValueError as error:
        raise VimixError(f"{file}: expected {expected}, but {error}") from error
    return RunResults(file.parent, table.about.name, table.about.seed, table.rows)


def by_seed(runs: Iterable[RunResults]) -> dict[RowKey, dict[str, list[float]]]:
    """Scores by place and name, one value a run in the order given; only what every run has.

    Raises VimixError if two runs have one seed, they are of different recipes, or one has two rows of one place.
    """
    runs = list(runs)
    require_sample([run.recipe for run in runs], [run.seed for run in runs])
    keyed = all(row.key for run in runs for row in run.rows)
    tables = [_placed(run, keyed) for run in runs]
    return {
        place: {name: [table[place][name] for table in tables] for name in scores if _everywhere(tables, place, name)}
        for place, scores in tables[0].items()
        if all(place in table for table in tables)
    }


def _placed(run: RunResults, keyed: bool) -> dict[RowKey, Mapping[str, float]]:
    """The scores by place; arms of the same title are told apart by their names."""
    titles = {(row.arm, row.key) for row in run.rows}
    alike = {title for title, count in Counter(title for title, _ in titles).items() if count > 1}
    table: dict[RowKey, Mapping[str, float]] = {}
    for row in run.rows:
        title = f"{row.arm} ({row.key})" if keyed and row.arm in alike else row.arm
        place = RowKey(row.key if keyed else row.arm, row.streams, row.tested_on, title, row.modality)
        if place in table:
            raise VimixError(
                f"{run.folder / 'results.json'}: two rows are of {place.title}, {place.modality}: expected one; run "
                "vimix run again, which evaluates anew"
            )
        table[place] = row.scores
    return table


def require_sample(recipes: Sequence[str], seeds: Sequence[int]) -> None:
    """Raises VimixError unless runs of these recipes' names and seeds are a sample: of one recipe, and no two alike."""
    if len(names := set(recipes)) > 1:
        raise VimixError(f"the runs are of different recipes: {', '.join(sorted(names))}; look at each by itself")
    if len(set(seeds)) < len(seeds):
        raise VimixError(f"two runs have the same seed ({sorted(seeds)}): they are one measurement, not two")


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of a sample: n - 1); None of a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_difference(ones: Sequence[float], others: Sequence[float]) -> Difference | None:
    """``ones`` less ``others``, value by value, with Student's interval; None of fewer than two pairs."""
    from scipy.stats import t

    differences = np.subtract(ones, others)
    if len(differences) < 2:
        return None
    mean = float(differences.mean())
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * float(differences.std(ddof=1))
    reach /= math.sqrt(len(differences))
    return Difference(mean, mean - reach, mean + reach, len(differences))


def require_place_for_summary(folder: Path) -> None:
    """Raises VimixError if the folder is that of a single run, or holds other results than a summary."""
    if (folder / "recipe.toml").exists():
        raise VimixError(
            f"{folder} is the folder of a single run (it has a recipe.toml), whose results would be lost: choose "
            "another --out for those of several seeds"
        )
    require_output(folder / "results.json", SUMMARY)


def require_place_for_run(folder: Path) -> None:
    """Raises VimixError if the folder holds the runs of several seeds, their summary or other results than a run's."""
    if next(folder.glob("seed-*/recipe.toml"), None) is not None:
        raise VimixError(f"{folder} holds runs of several seeds: choose another --out for a single run")
    require_output(folder / "results.json", RESULTS)


def write_summary(folder: Path, runs: Sequence[RunResults], against: str | None = None) -> str:
    """Write ``results.json`` and ``results.md`` of several seeds into ``folder``; the Markdown.

    Arms are compared with the arm ``against`` (its key in the recipe), else with the first. Raises VimixError if there
    is no such arm, or the folder is that of a single run.
    """
    scores = by_seed(runs)
    reference = _reference(runs, scores, against)
    require_place_for_summary(folder)
    differences = _differences(scores, reference)
    seeds = [run.seed for run in runs]
    rows = [
        {**place.plain, "scores": {name: _plain(values) for name, values in named.items()}}
        for place, named in scores.items()
    ]
    compared = [
        {**place.plain, "score": name, "less": reference.arm, **_interval(difference)}
        for place, name, difference in differences
    ]
    content = {"format": FORMAT, "recipe": runs[0].recipe, "seeds": seeds, "rows": rows, "differences": compared}
    write_json(folder / "results.json", content)
    text = _markdown(runs[0].recipe, seeds, scores, differences, reference.arm)
    write_text(folder / "results.md", text)
    return text


def _reference(runs: Sequence[RunResults], places: Iterable[RowKey], against: str | None) -> RowKey:
    """One place of the arm that the others are compared with."""
    known: dict[str, RowKey] = {}
    for place in places:
        known.setdefault(place.key, place)
    if not known:
        files = ", ".join(str(run.folder / "results.json") for run in runs)
        raise VimixError(f"{files}: expected scores of the same arms and modalities, but no row is in all of them")
    if against is None:
        return next((place for key, place in known.items() if key != UNTRAINED), next(iter(known.values())))
    if against not in known:
        raise VimixError(f"--against {against}: {runs[0].folder} has no such arm; it has {', '.join(known)}")
    return known[against]


def _everywhere(tables: Sequence[Mapping[RowKey, Mapping[str, float]]], place: RowKey, name: str) -> bool:
    return all(name in table[place] for table in tables)


def _differences(
    scores: Mapping[RowKey, Mapping[str, Sequence[float]]], reference: RowKey
) -> list[tuple[RowKey, str, Difference]]:
    """Of every other arm to the reference, in the same modality on the same data."""
    found: list[tuple[RowKey, str, Difference]] = []
    for place, named in scores.items():
        base = scores.get(evolve(place, key=reference.key))
        if place.key == reference.key or base is None:
            continue
        found += [
            (place, name, difference)
            for name in COMPARED
            if name in named and name in base and (difference := paired_difference(named[name], base[name]))
        ]
    return found


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
        [place.title, place.modality, *(cell(named[name]) if name in named else "-" for name in names)]
        for place, named in scores.items()
    ]
    text = (
        f"# Results of {recipe}\n\nPer cent, mean ± standard deviation over the seeds {', '.join(map(str, seeds))}.\n\n"
    )
    text += markdown_table(headings, body, "llr")
    if differences:
        text += f"\nDifference to {reference}, paired by seed, with its 95 % confidence interval (points).\n\n"
        compared = [
            [place.title, place.modality, LINEAR.get(name, name), f"{100 * d.mean:+.1f}", interval_text(d)]
            for place, name, d in differences
        ]
        text += markdown_table(["arm", "modality", "score", "difference", "interval"], compared, "lllr")
    return text


def cell(values: Sequence[float]) -> str:
    """``12.3 ± 0.4`` per cent; of one value ``12.3``."""
    mean, deviation = mean_and_deviation(values)
    return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def interval_text(difference: Difference) -> str:
    """``-0.3 to +2.1`` points."""
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"


def _plain(values: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "deviation": deviation, "by_seed": list(values)}


def _interval(difference: Difference) -> dict[str, float | int]:
    return {"mean": difference.mean, "low": difference.low, "high": difference.high, "pairs": difference.pairs}
