"""Nearest-neighbour retrieval: test videos query training videos (section 8 of the method)."""

from collections.abc import Callable, Sequence

from vimix.app.streams import Streams, checked_pair, tested_siblings
from vimix.domain.scores.accuracy import recall_at_k
from vimix.domain.scores.feature_scaling import BY_GALLERY, Centring, Rows, fused, unit_rows
from vimix.ports.neighbour_index import NeighbourIndex, Neighbours
from vimix.values.predictions import RetrievalScores

KS = (1, 5, 10, 20)
"""The k of the paper's Table 4."""

PROTOCOL = {
    "feature": "mean over a video's windows of the encoder's features before the projection head",
    "normalised": "to unit length, per modality",
    "similarity": "cosine, exact search; equal similarities in order of the gallery",
    "modalities": "similarities averaged",
    "hit": "any of the k nearest has the query's class",
}


def retrieve(
    gallery: Streams,
    queries: Streams,
    index_factory: Callable[[int], NeighbourIndex],
    ks: Sequence[int] = KS,
    centring: Centring = BY_GALLERY,
) -> RetrievalScores:
    """R@k of the query videos in the gallery; the similarities of several modalities are averaged.

    ``index_factory(D)`` makes an empty index of vectors of length D. Raises VimixError if the modalities list different
    videos, a video is in both gallery and queries, or a video has no label.
    """
    searched, tested = checked_pair(gallery, queries, "gallery")
    pairs = [centring.apply(gallery[modality].features, queries[modality].features) for modality in gallery]
    gallery_rows = fused([unit_rows(rows) for rows, _ in pairs])
    query_rows = fused([unit_rows(rows) for _, rows in pairs])
    nearest = nearest_in(gallery_rows, query_rows, index_factory, max(ks))
    return RetrievalScores(
        recall=recall_at_k(searched.labels[nearest.ids], tested.labels, ks),
        query_videos=tested.videos,
        query_labels=tested.labels,
        neighbours=searched.videos[nearest.ids],
        neighbour_labels=searched.labels[nearest.ids],
        similarities=nearest.similarities,
        siblings=tested_siblings(searched, tested),
        protocol={**PROTOCOL, "centred": centring.words, "streams": list(gallery)},
    )


def nearest_in(gallery: Rows, queries: Rows, index_factory: Callable[[int], NeighbourIndex], k: int) -> Neighbours:
    """The k nearest rows of the gallery [N, D] for each of the queries [Q, D]."""
    index = index_factory(gallery.shape[1])
    index.add(gallery)
    return index.search(queries, k)
