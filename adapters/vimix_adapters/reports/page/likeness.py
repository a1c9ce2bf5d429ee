"""Every modality against every other on the page, and the differences of each arm from the first."""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from vimix.values.predictions import CrossModalScores

MEASURES = ("recall", "cka", "mutual")
"""Attributes of a cell that are compared between arms."""


@frozen
class MatrixCell:
    """Queries in one modality, the gallery in another; None where something cannot be compared."""

    queries: str
    gallery: str
    recall: float | None
    """R@1, 0 to 1."""
    cka: float | None
    mutual: float | None
    """Share of mutual nearest neighbours, 0 to 1."""
    changes: Mapping[str, float]
    """Each measure minus that of the reference arm; empty for the reference arm itself."""


@frozen
class ModalityMatrix:
    """All pairs of modalities of one arm."""

    recipe: str
    arm: str
    less: str
    """Title of the reference arm; empty for itself."""
    modalities: Sequence[str]
    cells: Sequence[MatrixCell]
    """Row by row: queries, then gallery."""
    by_chance: float | None
    """R@1 of neighbours drawn at random."""
    mutual_by_chance: float
    neighbours: int
    """Neighbours that the mutual share counts."""

    @property
    def rows(self) -> list[list[MatrixCell]]:
        """The cells by queries."""
        return [[cell for cell in self.cells if cell.queries == queries] for queries in self.modalities]


def matrices_of(recipe: str, found: Mapping[str, CrossModalScores], reference: str) -> list[ModalityMatrix]:
    """The matrices of arms by title, with their differences from the arm ``reference`` if that is among them."""
    matrices = {arm: _matrix(recipe, arm, scores) for arm, scores in found.items()}
    base = matrices.get(reference)
    if base is None:
        return list(matrices.values())
    return [matrix if arm == reference else _compared(matrix, base) for arm, matrix in matrices.items()]


def _matrix(recipe: str, arm: str, scores: CrossModalScores) -> ModalityMatrix:
    first = min(scores.chance)
    cells = [MatrixCell(c.queries, c.gallery, c.recall.get(first), c.cka, c.mutual, {}) for c in scores.cells]
    names = list(dict.fromkeys(cell.queries for cell in cells))
    return ModalityMatrix(recipe, arm, "", names, cells, scores.chance[first], scores.chance_mutual, scores.neighbours)


def _compared(matrix: ModalityMatrix, base: ModalityMatrix) -> ModalityMatrix:
    theirs = {(cell.queries, cell.gallery): cell for cell in base.cells}
    cells = [evolve(cell, changes=_changes(cell, theirs.get((cell.queries, cell.gallery)))) for cell in matrix.cells]
    return evolve(matrix, cells=cells, less=base.arm)


def _changes(cell: MatrixCell, base: MatrixCell | None) -> dict[str, float]:
    """The measures that both cells have, minus those of ``base``."""
    pairs = {name: (getattr(cell, name), getattr(base, name, None)) for name in MEASURES}
    return {name: mine - theirs for name, (mine, theirs) in pairs.items() if mine is not None and theirs is not None}
