"""The map of the embedding on the page: features as points of a plane."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError

MOST = 3000
"""Most points of a map: more are thinned evenly."""
NEIGHBOURS = 5
"""Neighbours listed of a point."""
METHODS = ("pca", "umap")

Rows = NDArray[np.float32]


@frozen
class EmbeddingMap:
    """The features of an arm and modality as N points."""

    recipe: str
    arm: str
    modality: str
    method: str
    kept: float | None
    """Share of the variance that the plane shows (PCA), 0 to 1; None for UMAP."""
    videos: Sequence[int]
    """[N], numbers of the videos on the page."""
    points: Sequence[tuple[float, float]]
    """[N], from 0 to 1."""
    neighbours: Sequence[Sequence[int]]
    """[N, n], numbers of the videos on the page, nearest first by cosine in the whole space; without the own video."""


def principal_plane(rows: Rows) -> tuple[NDArray[np.float64], float]:
    """Coordinates [N, 2] of centred ``rows`` [N, D] along their two directions of most variance, and its share.

    Each axis points so that its largest coordinate is positive. Equal rows all lie at 0, with a share of 1.
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(rows), 2))
    width = min(2, len(singular))
    plane[:, :width] = left[:, :width] * singular[:width]
    largest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    total = float((singular**2).sum())
    return plane * np.where(largest < 0, -1.0, 1.0), float((singular[:2] ** 2).sum()) / total if total else 1.0


def umap_plane(rows: Rows, seed: int) -> NDArray[np.float64]:
    """Coordinates [N, 2] of ``rows`` [N, D] by UMAP on cosines; see ``require_method``."""
    from umap import UMAP

    neighbours = min(15, len(rows) - 1)
    mapped = UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1, init="pca").fit_transform(rows)
    return np.asarray(mapped, dtype=np.float64)


def require_method(method: str) -> None:
    """Raise VimixError if there is no such method, or umap-learn is not installed."""
    if method not in METHODS:
        raise VimixError(f"--map {method}: expected {' or '.join(METHODS)}")
    if method == "umap" and find_spec("umap") is None:
        raise VimixError("--map umap needs the extra umap: pip install 'vimix-ssl[umap]', or use --map pca")


def scaled(plane: NDArray[np.float64]) -> list[tuple[float, float]]:
    """The points [N, 2] moved and scaled into the unit square, the shorter side centred, with four decimals."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    side = float((high - low).max()) or 1.0
    placed = (plane - (low + high) / 2) / side + 0.5
    return [(round(float(x), 4), round(float(y), 4)) for x, y in placed]


def thinned(count: int, most: int = MOST) -> NDArray[np.int64]:
    """At most ``most`` of ``count`` rows, evenly spaced, in order."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
