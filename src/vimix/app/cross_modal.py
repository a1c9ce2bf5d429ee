"""Every modality against every other: retrieval across them where features are equally long, and their likeness."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vimix.app.retrieve import KS, PROTOCOL
from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.cross_modal import LEAST, chance_recall, linear_cka, mutual_neighbours
from vimix.domain.scores.features import BY_GALLERY, Centring, Rows, unit_rows
from vimix.domain.scores.recall import recall_at_k
from vimix.ports.index import NeighbourIndex
from vimix.values.modality import Modality
from vimix.values.scores import CrossModalCell, CrossModalScores

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

    def cell(asked: Modality, answered: Modality) -> CrossModalCell:
        vectors, asking = units[answered][0], units[asked][1]
        recall: Mapping[int, float] = {}
        if vectors.shape[1] == asking.shape[1]:
            ids = _search(index_factory, vectors, asking, max(ks))
            recall = recall_at_k(searched.labels[ids], tested.labels, ks)
        ones, others = queries[asked].features[compared], queries[answered].features[compared]
        cka = linear_cka(ones, others) if len(compared) >= LEAST else None
        mutual = mutual_neighbours(ones, others, neighbours) if neighbours >= 1 else None
        return CrossModalCell(asked, answered, recall, cka, mutual)

    return CrossModalScores(
        cells=[cell(asked, answered) for asked in gallery for answered in gallery],
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


def _search(index_factory: Callable[[int], NeighbourIndex], vectors: Rows, queries: Rows, k: int) -> NDArray[np.int64]:
    index = index_factory(vectors.shape[1])
    index.add(vectors)
    return index.search(queries, k).ids
