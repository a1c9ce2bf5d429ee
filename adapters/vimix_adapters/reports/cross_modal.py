"""The table of every modality against every other."""

from collections.abc import Mapping

from rich.table import Table

from vimix.values.scores import CrossModalCell, CrossModalScores


def cross_modal_table(scores: Mapping[str, CrossModalScores], title: str = "") -> Table:
    """Return a table for the console: for each pair of modalities a line for each entry of ``scores``, by its name.

    R@k is in per cent; the last line is that of neighbours drawn at random.
    """
    first = next(iter(scores.values()))
    table = Table(title=title or None, caption="R@k and mutual neighbours in per cent; -: cannot be compared")
    for heading in ("queries", "gallery", "encoders"):
        table.add_column(heading)
    headings = [*(f"R@{k}" for k in first.chance), "CKA", f"mutual of {first.neighbours}"]
    for heading in headings:
        table.add_column(heading, justify="right")
    for at, pair in enumerate(first.cells):
        for name, found in scores.items():
            last = name == list(scores)[-1]
            table.add_row(pair.queries, pair.gallery, name, *_numbers(found.cells[at], first), end_section=last)
    chance = [f"{100 * value:.1f}" for value in first.chance.values()]
    table.add_row("any", "any", "by chance", *chance, "0.00", f"{100 * first.chance_mutual:.1f}")
    return table


def _numbers(cell: CrossModalCell, scores: CrossModalScores) -> list[str]:
    recall = [f"{100 * cell.recall[k]:.1f}" if k in cell.recall else "-" for k in scores.chance]
    cka = "-" if cell.cka is None else f"{cell.cka:.2f}"
    return [*recall, cka, "-" if cell.mutual is None else f"{100 * cell.mutual:.1f}"]
