"""The table of every modality against every other."""

from collections.abc import Mapping

from rich.table import Table

from vimix.values.scores import CrossModalCell, CrossModalScores
from vimix_adapters.reports.console import text_table


def cross_modal_table(scores: Mapping[str, CrossModalScores], title: str = "") -> Table:
    """Return a table for the console: for each pair of modalities a line for each entry of ``scores``, by its name.

    R@k is in per cent; the last line is that of neighbours drawn at random.
    """
    first = next(iter(scores.values()))
    headings = ["queries", "gallery", "encoders", *(f"R@{k}" for k in first.chance)]
    headings += ["CKA", f"mutual of {first.neighbours}"]
    rows = [
        [pair.queries, pair.gallery, name, *_numbers(found.cells[at], first)]
        for at, pair in enumerate(first.cells)
        for name, found in scores.items()
    ]
    chance = [f"{100 * value:.1f}" for value in first.chance.values()]
    rows.append(["any", "any", "by chance", *chance, "0.00", f"{100 * first.chance_mutual:.1f}"])
    caption = "R@k and mutual neighbours in per cent; -: cannot be compared"
    return text_table(headings, rows, "lllr", title, caption, sections=[row[:2] for row in rows])


def _numbers(cell: CrossModalCell, scores: CrossModalScores) -> list[str]:
    recall = [f"{100 * cell.recall[k]:.1f}" if k in cell.recall else "-" for k in scores.chance]
    cka = "-" if cell.cka is None else f"{cell.cka:.2f}"
    return [*recall, cka, "-" if cell.mutual is None else f"{100 * cell.mutual:.1f}"]
