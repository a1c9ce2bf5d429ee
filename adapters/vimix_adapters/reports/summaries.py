"""Runs that differ in their seed: mean, standard deviation, and paired differences between arms."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.reports.reading import structured
from vimix_adapters.reports.results import write_json
from vimix_adapters.reports.tables import FORMAT as RUN_FORMAT
from vimix_adapters.reports.tables import LINEAR, Row, score_names

FORMAT = "vimix-summary-1"
CONFIDENCE = 0.95
COMPARED = ("R@1", "top-1")
"""Scores whose differences between arms are told."""

Place = tuple[str, str, str]
"""Arm (its title), modality, name of another data set."""


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


def by_seed(runs: Iterable[RunResults]) -> dict[Place, dict[str, list[float]]]:
    """Scores by place and name, one value a run in the order given; only what every run has.

    Raises VimixError if two runs have one seed, or they are of different recipes.
    """
    runs = list(runs)
    require_sample([run.recipe for run in runs], [run.seed for run in runs])
    tables = [{(row.arm, row.modality, row.tested_on): row.scores for row in run.rows} for run in runs]
    return {
        place: {name: [table[place][name] for table in tables] for name in scores if _everywhere(tables, place, name)}
        for place, scores in tables[0].items()
        if all(place in table for table in tables)
    }


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


def write_summary(folder: Path, runs: Sequence[RunResults], against: str | None = None) -> str:
    """Write ``results.json`` and ``results.md`` of several seeds into ``folder``; the Markdown.

    Arms are compared with the arm ``against`` (its key in the recipe), else with the first. Raises VimixError if there
    is no such arm.
    """
    scores = by_seed(runs)
    reference = _reference(runs[0], against)
    differences = _differences(scores, reference)
    seeds = [run.seed for run in runs]
    rows = [
        {**_named(place), "scores": {name: _plain(values) for name, values in named.items()}}
        for place, named in scores.items()
    ]
    compared = [
        {**_named(place), "score": name, "less": reference, **_interval(difference)}
        for place, name, difference in differences
    ]
    content = {"format": FORMAT, "recipe": runs[0].recipe, "seeds": seeds, "rows": rows, "differences": compared}
    write_json(folder / "results.json", content)
    text = _markdown(runs[0].recipe, seeds, scores, differences, reference)
    write_text(folder / "results.md", text)
    return text


def _reference(run: RunResults, against: str | None) -> str:
    """The title of the arm that the others are compared with."""
    if not run.rows:
        raise VimixError(f"{run.folder / 'results.json'}: expected the scores of a run, but there is no row")
    titles = {row.key: row.arm for row in run.rows if row.key}
    if against is None:
        return next((title for key, title in titles.items() if key != "random initialisation"), run.rows[0].arm)
    if against not in titles:
        raise VimixError(f"--against {against}: {run.folder} has no such arm; it has {', '.join(titles)}")
    return titles[against]


def _everywhere(tables: Sequence[Mapping[Place, Mapping[str, float]]], place: Place, name: str) -> bool:
    return all(name in table[place] for table in tables)


def _differences(
    scores: Mapping[Place, Mapping[str, Sequence[float]]], reference: str
) -> list[tuple[Place, str, Difference]]:
    """Of every other arm to the reference, in the same modality on the same data."""
    found: list[tuple[Place, str, Difference]] = []
    for place, named in scores.items():
        base = scores.get((reference, *place[1:]))
        if place[0] == reference or base is None:
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
    scores: Mapping[Place, Mapping[str, Sequence[float]]],
    differences: Sequence[tuple[Place, str, Difference]],
    reference: str,
) -> str:
    names = score_names(name for named in scores.values() for name in named)
    head = [["arm", "modality", *(LINEAR.get(name, name) for name in names)], ["---", "---", *("---:" for _ in names)]]
    body = [
        [_title(place), place[1], *(cell(named[name]) if name in named else "-" for name in names)]
        for place, named in scores.items()
    ]
    text = (
        f"# Results of {recipe}\n\nPer cent, mean ± standard deviation over the seeds {', '.join(map(str, seeds))}.\n\n"
    )
    text += _lines([*head, *body])
    if differences:
        text += f"\nDifference to {reference}, paired by seed, with its 95 % confidence interval (points).\n\n"
        lines = [["arm", "modality", "score", "difference", "interval"], ["---", "---", "---", "---:", "---:"]]
        lines += [
            [_title(place), place[1], LINEAR.get(name, name), f"{100 * d.mean:+.1f}", interval_text(d)]
            for place, name, d in differences
        ]
        text += _lines(lines)
    return text


def cell(values: Sequence[float]) -> str:
    """``12.3 ± 0.4`` per cent; of one value ``12.3``."""
    mean, deviation = mean_and_deviation(values)
    return f"{100 * mean:.1f}" if deviation is None else f"{100 * mean:.1f} ± {100 * deviation:.1f}"


def interval_text(difference: Difference) -> str:
    """``-0.3 to +2.1`` points."""
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"


def _title(place: Place) -> str:
    return f"{place[0]}, on {place[2]}" if place[2] else place[0]


def _named(place: Place) -> dict[str, str]:
    return dict(zip(("arm", "modality", "tested_on"), place, strict=True))


def _plain(values: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "deviation": deviation, "by_seed": list(values)}


def _interval(difference: Difference) -> dict[str, float | int]:
    return {"mean": difference.mean, "low": difference.low, "high": difference.high, "pairs": difference.pairs}


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
