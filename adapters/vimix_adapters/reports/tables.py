"""Tables of scores: by arm, on the console, as Markdown and as JSON, and of every modality against every other."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from rich.table import Table

from vimix.values.predictions import CrossModalCell, CrossModalScores
from vimix_adapters.files import write_text
from vimix_adapters.reports.console import markdown_table, text_table
from vimix_adapters.reports.results import write_json

LINEAR: Mapping[str, str] = {"top-1": "linear top-1", "top-5": "linear top-5"}
"""Heading by name of the score; ``R@k``, for any k, is its own heading and comes first."""
RECALL = re.compile(r"R@\d+")
FORMAT = "vimix-table-1"
UNTRAINED = "random initialisation"
"""Name of the row of encoders with random weights."""


@frozen
class Row:
    """The scores of an arm with one modality, or with several streams."""

    arm: str
    """Title of the arm: ``random initialisation``, ``MoCo``, ``Vi-Mix``, ..."""
    modality: str
    """Modality or streams: ``rgb``, ``flow``, ``rgb + flow``, ..."""
    scores: Mapping[str, float]
    """Scores from 0 to 1 by name, ``R@k``, ``top-1`` and ``top-5``, without those that were not measured."""
    key: str = ""
    """Key of the arm in the recipe."""
    tested_on: str = ""
    """Key in [evaluate.stores] of another data set than the run's own."""
    remark: str = ""
    """Fault in the training of these encoders, such as a collapse; empty if their scores are a result."""

    @property
    def title(self) -> str:
        """Title of the arm, with the data set if it is not the run's own."""
        return f"{self.arm}, on {self.tested_on}" if self.tested_on else self.arm

    @property
    def label(self) -> str:
        """Title of the arm, with the remark on its training."""
        return f"{self.title} ({self.remark})" if self.remark else self.title

    @property
    def streams(self) -> frozenset[str]:
        """The modalities without their order, which older results do not take from the recipe."""
        return streams_of(self.modality)


def streams_of(modality: str) -> frozenset[str]:
    """The modalities in a name such as ``rgb + flow``."""
    return frozenset(modality.split(" + "))


def console_table(rows: Sequence[Row], title: str = "", headings: Mapping[str, str] = LINEAR) -> Table:
    """Return a table for the console: per cent with one decimal, one section per arm, ``headings`` by score."""
    return text_table(*_texts(rows, headings), "llr", title, "per cent", sections=[row.title for row in rows])


def scores_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table: per cent with one decimal, ``-`` where nothing was measured."""
    return markdown_table(*_texts(rows, LINEAR), "llr")


def write_tables(
    folder: Path, rows: Sequence[Row], about: Mapping[str, Any], title: str = "Results", notes: Sequence[str] = ()
) -> None:
    """Write ``results.json`` and ``results.md`` into ``folder``, each atomically.

    ``about`` is plain data for the JSON file: commit, seed, versions, protocol, number of videos, ...; ``notes`` become
    a list below the Markdown table.
    """
    lines = [_plain(row) for row in rows]
    write_json(folder / "results.json", {"format": FORMAT, "rows": lines, "about": dict(about), "notes": list(notes)})
    bullets = "".join(f"- {note}\n" for note in notes)
    text = f"# {title}\n\nPer cent.\n\n{scores_markdown(rows)}" + (f"\n{bullets}" if notes else "")
    write_text(folder / "results.md", text)


def _plain(row: Row) -> dict[str, Any]:
    named = {name: value for name in ("key", "tested_on", "remark") if (value := getattr(row, name))}
    return {"arm": row.arm, "modality": row.modality, "scores": dict(row.scores), **named}


def _texts(rows: Sequence[Row], headings: Mapping[str, str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table with all scores that some row has."""
    names = score_names(name for row in rows for name in row.scores)
    shown = ["arm", "modality", *(headings.get(name, name) for name in names)]
    return shown, [scores_line(row, names) for row in rows]


def scores_line(row: Row, names: Iterable[str]) -> list[str]:
    """Arm, modality and the scores with these names in per cent with one decimal, ``-`` where nothing was measured."""
    return [
        row.label,
        row.modality,
        *(f"{100 * row.scores[name]:.1f}" if name in row.scores else "-" for name in names),
    ]


def score_names(names: Iterable[str]) -> list[str]:
    """Distinct names in the order of the table's columns. Raises ValueError for an unknown name."""
    given = set(names)
    recall = sorted((name for name in given if RECALL.fullmatch(name)), key=lambda name: int(name[2:]))
    if unknown := given - LINEAR.keys() - set(recall):
        raise ValueError(f"the table has no column for {sorted(unknown)}, only for R@k and {list(LINEAR)}")
    return [*recall, *(name for name in LINEAR if name in given)]


def cross_modal_table(scores: Mapping[str, CrossModalScores], title: str = "") -> Table:
    """Return a table for the console: for each pair of modalities a line for each entry of ``scores``, by its name.

    R@k is in per cent; the last line is that of neighbours drawn at random.
    """
    first = next(iter(scores.values()))
    headings = ["queries", "gallery", "encoders", *(f"R@{k}" for k in first.chance)]
    headings += ["CKA", f"mutual of {first.neighbours}"]
    rows = [
        [pair.queries, pair.gallery, name, *_likeness(found.cells[at], first)]
        for at, pair in enumerate(first.cells)
        for name, found in scores.items()
    ]
    chance = [f"{100 * value:.1f}" for value in first.chance.values()]
    rows.append(["any", "any", "by chance", *chance, "0.00", f"{100 * first.chance_mutual:.1f}"])
    caption = "R@k and mutual neighbours in per cent; -: cannot be compared"
    return text_table(headings, rows, "lllr", title, caption, sections=[row[:2] for row in rows])


def _likeness(cell: CrossModalCell, scores: CrossModalScores) -> list[str]:
    recall = [f"{100 * cell.recall[k]:.1f}" if k in cell.recall else "-" for k in scores.chance]
    cka = "-" if cell.cka is None else f"{cell.cka:.2f}"
    return [*recall, cka, "-" if cell.mutual is None else f"{100 * cell.mutual:.1f}"]
