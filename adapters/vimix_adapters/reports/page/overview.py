"""The overview of the page: scores of all runs, differences between arms, and facts about the runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from vimix_adapters.reports.summaries import (
    RowKey,
    RunResults,
    Spread,
    by_seed,
    compared,
    mean_and_deviation,
    paired_difference,
    spread,
)
from vimix_adapters.reports.tables import UNTRAINED, score_names
from vimix_adapters.structuring import dotted, structured

WORDS: Mapping[str, str] = {
    "R@1": "the nearest video has the right class for",
    "top-1": "a linear classifier names the right class for",
}
"""The compared scores in words, before a share of the test videos."""


@frozen
class ResultLine:
    """A line of the table of results."""

    recipe: str
    arm: str
    """Title of the arm, with the data set if it is not the run's own."""
    key: str
    """Key of the arm in the recipe."""
    modality: str
    scores: Mapping[str, Spread]


@frozen
class Comparison:
    """The difference between an arm and the reference arm of its recipe, paired by seed."""

    recipe: str
    arm: str
    modality: str
    less: str
    """Title of the reference arm."""
    score: str
    value: float
    """The arm's mean score."""
    reference: float
    """The reference arm's mean score."""
    difference: float
    low: float | None
    """Lower end of the 95 % confidence interval; None for a single run."""
    high: float | None
    pairs: int
    streams: int
    """Number of modalities."""

    @property
    def sentence(self) -> str:
        """The comparison in plain words."""
        words = WORDS.get(self.score, f"{self.score} is")
        said = (
            f"{self.modality}: {words} {100 * self.value:.1f} % of the test videos with {self.arm}, "
            f"{100 * self.reference:.1f} % with {self.less} ({100 * self.difference:+.1f} points). "
        )
        if self.low is None or self.high is None:
            return said + "One run cannot tell a difference from chance: train more seeds."
        interval = f"95 % interval {100 * self.low:+.1f} to {100 * self.high:+.1f} points over {self.pairs} seeds"
        if self.low <= 0 <= self.high:
            return f"{said}The {interval} contains 0: the difference may be chance."
        return f"{said}{self.arm if self.difference > 0 else self.less} is better: {interval}."


@frozen
class RunFacts:
    """Facts about a run besides its scores."""

    recipe: str = ""
    seed: int = 0
    folder: str = ""
    """Name of the run's folder."""
    data: str = ""
    """Fingerprint of the store."""
    videos: Mapping[str, int] = field(factory=dict)
    """Number of videos by split."""
    machine: str = ""
    precision: str = ""
    commit: str = ""
    versions: Mapping[str, str] = field(factory=dict)
    changed: Mapping[str, str] = field(factory=dict)
    """Keys of the recipe with values that differ from the defaults."""
    repeat: str = ""
    """Command that repeats the run."""


@frozen
class Overview:
    """Everything that the first part of the page shows."""

    lines: Sequence[ResultLine]
    comparisons: Sequence[Comparison]
    remarks: Sequence[str]
    """Trainings that failed."""
    missing: Sequence[str]
    """Parts that the page cannot show, with the reasons."""
    runs: Sequence[RunFacts]

    @property
    def score_names(self) -> list[str]:
        """Columns of the table, in order."""
        return score_names(name for line in self.lines for name in line.scores)

    @property
    def verdicts(self) -> list[str]:
        """The main comparisons in words: for each recipe and arm, the first score with the most modalities."""
        best: dict[tuple[str, str], Comparison] = {}
        for one in self.comparisons:
            known = best.get((one.recipe, one.arm))
            if known is None or (one.streams > known.streams and one.score == known.score):
                best[one.recipe, one.arm] = one
        return [one.sentence for one in best.values()]


@frozen
class _File:
    """The part of ``results.json`` that the page shows."""

    about: RunFacts = RunFacts()


def overview_of(runs: Sequence[RunResults], facts: Sequence[RunFacts], missing: Sequence[str] = ()) -> Overview:
    """The overview of runs of one or several recipes; ``facts`` may hold runs without results too.

    Raises VimixError if two runs of one recipe have the same seed, or a run has a row twice.
    """
    lines: list[ResultLine] = []
    comparisons: list[Comparison] = []
    for recipe in dict.fromkeys(run.recipe for run in runs):
        scores = by_seed([run for run in runs if run.recipe == recipe])
        lines += [
            ResultLine(recipe, row.title, row.key, row.modality, {name: spread(v) for name, v in named.items()})
            for row, named in scores.items()
        ]
        comparisons += _comparisons(recipe, scores)
    remarks = [
        f"{run.recipe}, seed {run.seed}, {row.title}, {row.modality}: {row.remark}"
        for run in runs
        for row in run.rows
        if row.remark
    ]
    return Overview(lines, comparisons, remarks, list(missing), list(facts))


def facts_of(content: object, file: Path, known: RunFacts) -> RunFacts:
    """``known`` with what the parsed ``results.json`` says about the run. Raises VimixError if it is not valid."""
    about = structured(content, _File, file, "the results of a run (vimix run)").about
    own = ("recipe", "seed", "folder", "changed", "repeat")
    return evolve(about, **{name: getattr(known, name) for name in own})


def changed_keys(tree: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str]:
    """Values of a recipe's tree, by dotted key, that differ from those of the tree of defaults."""
    ours, theirs = ({key: _text(value) for key, value in dotted(one).items()} for one in (tree, defaults))
    return {key: value for key, value in ours.items() if theirs.get(key) != value}


def _text(value: object) -> str:
    """A value as the recipe would have it on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_text(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _comparisons(recipe: str, scores: Mapping[RowKey, Mapping[str, Sequence[float]]]) -> list[Comparison]:
    """Differences of all trained arms from the first one, with the same modalities on the same data."""
    trained = [row for row in scores if row.key != UNTRAINED]
    if not trained:
        return []
    return [
        _comparison(recipe, row, trained[0].arm, name, ones, others)
        for row, name, ones, others in compared({row: scores[row] for row in trained}, trained[0].key)
    ]


def _comparison(
    recipe: str, row: RowKey, less: str, name: str, ones: Sequence[float], others: Sequence[float]
) -> Comparison:
    value, reference = mean_and_deviation(ones)[0], mean_and_deviation(others)[0]
    interval = paired_difference(ones, others)
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    streams = len(row.streams)
    return Comparison(
        recipe, row.title, row.modality, less, name, value, reference, value - reference, low, high, len(ones), streams
    )
