"""Every modality against every other: retrieval across them where features are equally long, and their likeness."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations_with_replacement

import numpy as np

from vimix.app.retrieve import KS, PROTOCOL, nearest_in
from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.accuracy import recall_at_k
from vimix.domain.scores.cross_modal import LEAST, chance_recall, linear_cka, mutual_neighbours
from vimix.domain.scores.feature_scaling import BY_GALLERY, Centring, unit_rows
from vimix.ports.neighbour_index import NeighbourIndex
from vimix.values.modality import Modality
from vimix.values.predictions import CrossModalCell, CrossModalScores

NEIGHBOURS = 10
"""Neighbours of the mutual share; of few test videos at most half of the others, or any features would agree."""
COMPARED = 2000
"""Most test videos, evenly spaced, whose features CKA and mutual neighbours compare."""


def cross_modal(
    gallery: Streams,
    queries: Streams,
    index_factory: Callable[[int], NeighbourIndex],
    ks: Sequence[int] = KS,
    centring: Centring = BY_GALLERY,
) -> CrossModalScores:
    """Test videos in each modality query the training videos in each modality; the diagonal is plain retrieval.

    Each modality is centred by its own means. R@k is measured where both features are equally long; it is no better
    than chance unless training gave them one space. CKA and mutual neighbours compare the test videos' features, and
    need no such space. ``index_factory(D)`` makes an empty index. Raises VimixError as ``retrieve`` does.
    """
    searched, tested = checked_pair(gallery, queries, "gallery")
    pairs = {m: centring.apply(gallery[m].features, queries[m].features) for m in gallery}
    units = {m: (unit_rows(rows), unit_rows(others)) for m, (rows, others) in pairs.items()}
    compared = np.unique(np.linspace(0, len(tested) - 1, min(len(tested), COMPARED)).round().astype(np.int64))
    neighbours = min(NEIGHBOURS, len(compared) // 2)

    def likeness(one: Modality, other: Modality) -> tuple[float | None, float | None]:
        features = queries[one].features[compared], queries[other].features[compared]
        cka = linear_cka(*features) if len(compared) >= LEAST else None
        return cka, mutual_neighbours(*features, neighbours) if neighbours >= 1 else None

    alike = {frozenset(pair): likeness(*pair) for pair in combinations_with_replacement(gallery, 2)}  # in either order

    def cell(query: Modality, searched_in: Modality) -> CrossModalCell:
        gallery_rows, query_rows = units[searched_in][0], units[query][1]
        recall: Mapping[int, float] = {}
        if gallery_rows.shape[1] == query_rows.shape[1]:
            nearest = nearest_in(gallery_rows, query_rows, index_factory, max(ks))
            recall = recall_at_k(searched.labels[nearest.ids], tested.labels, ks)
        return CrossModalCell(query, searched_in, recall, *alike[frozenset((query, searched_in))])

    return CrossModalScores(
        cells=[cell(query, searched_in) for query in gallery for searched_in in gallery],
        chance=chance_recall(searched.labels, tested.labels, ks),
        neighbours=neighbours,
        chance_mutual=neighbours / max(1, len(compared) - 1),
        siblings=tested_siblings(searched, tested),
        protocol={
            **{key: PROTOCOL[key] for key in ("feature", "normalised", "similarity", "hit")},
            "centred": f"each modality: {centring.words}",
            "cka": "linear kernels, unbiased, of the test videos",
            "mutual_neighbours": neighbours,
            "compared_videos": len(compared),
        },
    )
