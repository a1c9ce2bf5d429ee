"""The retrieval gallery of the page: queries with their nearest neighbours."""

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.domain.scores.accuracy import recall_at_k
from vimix.values.predictions import RetrievalScores

SHOWN = 5
"""Neighbours of a query."""


@frozen
class Neighbour:
    """A neighbour of a query."""

    video: int
    """Number of the video on the page."""
    similarity: float
    """Cosine, the mean over the modalities."""
    right: bool
    """Whether it has the query's class."""


@frozen
class QueryResult:
    """A query and its nearest neighbours, nearest first."""

    video: int
    class_name: str
    neighbours: Sequence[Neighbour]


@frozen
class Gallery:
    """The results of the chosen queries in one arm and group of modalities."""

    recipe: str
    arm: str
    modality: str
    recall: float
    """R@1 of all test videos, 0 to 1: the shown queries are only some of them."""
    queries: int
    """Number of all test videos."""
    results: Sequence[QueryResult]


def choose_queries(labels: NDArray[np.int64], most: int) -> list[int]:
    """Rows of at most ``most`` queries, evenly over the classes ``labels`` [Q]: one of each class comes first.

    Those of a class are drawn at random, always the same ones: the first in a list are often of one person or place.
    """
    drawn = np.random.default_rng(0).permutation(len(labels))
    order = drawn[np.argsort(labels[drawn], kind="stable")]
    ranks = np.empty(len(labels), dtype=np.int64)
    _, firsts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    ranks[order] = np.arange(len(labels)) - np.repeat(firsts, counts)
    return [int(row) for row in np.lexsort((labels, ranks))[:most]]


def gallery_of(
    titles: tuple[str, str, str],
    found: RetrievalScores,
    rows: Sequence[int],
    classes: Sequence[str],
    number: Mapping[int, int],
) -> Gallery:
    """The gallery of some queries, which are rows of ``found``; ``number`` maps videos of the store to the page's.

    ``titles`` are recipe, arm and modality.
    """
    results = [
        QueryResult(
            number[int(found.query_videos[row])],
            classes[int(found.query_labels[row])],
            [
                Neighbour(number[int(video)], round(float(cosine), 4), bool(label == found.query_labels[row]))
                for video, label, cosine in zip(
                    found.neighbours[row][:SHOWN],
                    found.neighbour_labels[row][:SHOWN],
                    found.similarities[row][:SHOWN],
                    strict=True,
                )
            ],
        )
        for row in rows
    ]
    recall = recall_at_k(found.neighbour_labels, found.query_labels, [1])[1]
    return Gallery(*titles, round(recall, 4), len(found.query_videos), results)


def videos_of(found: RetrievalScores, row: int) -> list[int]:
    """The videos of the store that the gallery shows as neighbours of a query, nearest first."""
    return [int(video) for video in found.neighbours[row][:SHOWN]]
