"""The panels of the page that need features: retrieval, errors, maps and modalities against each other."""

from collections.abc import Callable, Sequence

import numpy as np
from attrs import frozen

from vimix.domain.scores.feature_scaling import centre, mean_row, unit_rows
from vimix.ports.clips import VideoStore
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.commands import scores
from vimix_adapters.commands.scores import EvaluationTarget, FeaturePair, Measured
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reports.page import embedding
from vimix_adapters.reports.page.catalogue import Catalogue, shown_modalities
from vimix_adapters.reports.page.embedding import EmbeddingMap
from vimix_adapters.reports.page.gallery import Gallery, choose_queries, gallery_of, videos_of
from vimix_adapters.reports.page.likeness import ModalityMatrix, matrices_of
from vimix_adapters.reports.page.mistakes import Errors, errors_of

QUERIES = 60
"""Most queries in the gallery."""
GALLERY_SHARE = 0.8
"""Share of the clips that the queries and their neighbours by all modalities together may take."""


@frozen(eq=False)
class ArmFeatures:
    """The features of an arm and their scores."""

    title: str
    pairs: scores.Pairs
    measured: Sequence[Measured]
    trained: bool = True
    """False for encoders with random weights."""


@frozen(eq=False)
class Panels:
    """The panels of one run."""

    galleries: Sequence[Gallery]
    errors: Sequence[Errors]
    maps: Sequence[EmbeddingMap]
    matrices: Sequence[ModalityMatrix]


def build_panels(
    target: EvaluationTarget,
    arms: Sequence[ArmFeatures],
    catalogue: Catalogue,
    method: str = "pca",
    encoding: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
) -> Panels:
    """The panels of all arms of a run, with clips of their videos as long as the catalogue has room.

    ``encoding`` takes the number of clips to come and returns a function that is called after each.
    """
    recipe, store = target.recipe, target.store
    found = [(arm.title, one) for arm in arms for one in arm.measured]
    rows, shown = _queries_and_clips(store, [one for _, one in found], catalogue)
    mistaken = [int(v) for _, one in found for v in one.linear.test_videos]
    named = [v for _, one in found for row in rows for v in videos_of(one.retrieval, row)]
    videos = dict.fromkeys([*(video for video, _ in shown), *named, *mistaken])
    number = {video: catalogue.number(store, video) for video in videos}
    galleries = [
        gallery_of((recipe.name, title, one.streams), one.retrieval, rows, store.classes, number)
        for title, one in found
    ]
    errors = [
        errors_of(
            (recipe.name, title, one.streams),
            one.linear.probabilities,
            one.linear.test_labels,
            one.linear.test_videos,
            store.classes,
            number,
        )
        for title, one in found
    ]
    maps = [
        _map(recipe, arm.title, m, pair, catalogue, target, method) for arm in arms for m, pair in arm.pairs.items()
    ]
    gallery = [(number[video], modality) for video, modality in shown]
    _add_clips(catalogue, gallery, errors, maps, shown_modalities(store), encoding)
    return Panels(galleries, errors, maps, _matrices(recipe, arms))


def _queries_and_clips(
    store: VideoStore, found: Sequence[Measured], catalogue: Catalogue
) -> tuple[list[int], list[tuple[int, Modality]]]:
    """Queries of the gallery, evenly over the classes, and the clips (video of the store, modality) that it shows.

    The clips of the queries and of the neighbours by all modalities together have room for every query, at least one.
    Clips of the neighbours by one modality come last, as the page may have no room for them.
    """
    most = max(len(one.modalities) for one in found)
    together, alone = ([one for one in found if (len(one.modalities) == most) == all_] for all_ in (True, False))
    room = GALLERY_SHARE * catalogue.room if catalogue.most else float("inf")
    rows: list[int] = []
    clips: dict[tuple[int, Modality], None] = {}
    for row in choose_queries(found[0].retrieval.query_labels, QUERIES):
        query = int(found[0].retrieval.query_videos[row])
        more = clips | dict.fromkeys(
            [*((query, m) for m in shown_modalities(store)), *_neighbours(store, together, row)]
        )
        if rows and len(more) > room:
            break
        rows, clips = [*rows, row], more
    rest = [clip for row in rows for clip in _neighbours(store, alone, row)]
    return rows, list(clips | dict.fromkeys(rest))


def _neighbours(store: VideoStore, found: Sequence[Measured], row: int) -> list[tuple[int, Modality]]:
    """Clips of a query's neighbours in several rankings, each in the first modality that the ranking compares."""
    return [
        (video, store.formats[one.modalities[0]].stored) for one in found for video in videos_of(one.retrieval, row)
    ]


def _map(
    recipe: config.Recipe,
    title: str,
    modality: Modality,
    pair: FeaturePair,
    catalogue: Catalogue,
    target: EvaluationTarget,
    method: str,
) -> EmbeddingMap:
    """Training and test videos as points, by the features that retrieval compares."""
    features = np.concatenate([pair.gallery.features, pair.queries.features])
    videos = np.concatenate([pair.gallery.videos, pair.queries.videos])
    at = embedding.thinned(len(features))
    units = unit_rows(centre(features[at], mean_row(pair.gallery.features)))
    plane, kept = (
        embedding.principal_plane(units) if method == "pca" else (embedding.umap_plane(units, recipe.seed), None)
    )
    numbers = catalogue.numbers(target.store, videos[at])
    index = FaissIndex(units.shape[1])
    index.add(units)
    nearest = index.search(units, embedding.NEIGHBOURS + 1).ids
    neighbours = [
        [numbers[other] for other in row if other != own][: embedding.NEIGHBOURS] for own, row in enumerate(nearest)
    ]
    return EmbeddingMap(recipe.name, title, modality, method, kept, numbers, embedding.scaled(plane), neighbours)


def _add_clips(
    catalogue: Catalogue,
    gallery: Sequence[tuple[int, Modality]],
    errors: Sequence[Errors],
    maps: Sequence[EmbeddingMap],
    modalities: Sequence[Modality],
    encoding: Callable[[int], Callable[[], None]],
) -> None:
    """Clips of the gallery, then of mistakes, then of points of the maps, evenly spaced."""
    mistakes = [mistake.video for one in errors for mistake in one.mistakes]
    points = list(dict.fromkeys(video for one in maps for video in one.videos))
    spread = [points[at] for at in embedding.thinned(len(points), max(1, catalogue.room))] if points else []
    others = [(video, modality) for video in [*mistakes, *spread] for modality in modalities]
    wanted = catalogue.wanted([*gallery, *others])
    catalogue.add_clips(wanted, encoding(len(wanted)))


def _matrices(recipe: config.Recipe, arms: Sequence[ArmFeatures]) -> list[ModalityMatrix]:
    """Modalities against each other in all arms that have several."""
    found = {arm.title: scores.cross_modal_scores(recipe, arm.pairs) for arm in arms if len(arm.pairs) > 1}
    reference = next((arm.title for arm in arms if arm.trained and arm.title in found), "")
    return matrices_of(recipe.name, found, reference)
