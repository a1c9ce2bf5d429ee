"""Evaluating encoders on a store: features once, then every score and picture from them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from attrs import asdict, frozen

from vimix.app.extract import extract_features
from vimix.app.parallel import SingleProcess, videos_of_rank
from vimix.app.probe import best_epoch, linear_probe
from vimix.app.retrieve import retrieve
from vimix.ports.clips import VideoStore
from vimix.ports.network import Network
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import RGB, Modality
from vimix.values.scores import ProbeScores, RetrievalScores
from vimix_adapters import config, wiring
from vimix_adapters.commands.feature_cache import FeatureCache, manifest_of
from vimix_adapters.config.probe_settings import LinearSgd
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.probes.sgd import SgdProbe
from vimix_adapters.reports.sheet import SheetRow, Thumbnail, draw_sheet
from vimix_adapters.reports.sticks import stick_figure
from vimix_adapters.reports.tables import Row


@frozen(eq=False)
class FeaturePair:
    """Features of the videos that are searched or trained on, and of those that are tested."""

    gallery: VideoFeatures
    queries: VideoFeatures


Anything = TypeVar("Anything")
Pairs = Mapping[Modality, FeaturePair]


@frozen(eq=False)
class EvaluationTarget:
    """A data set on which encoders are judged, and the recipe as it reads there."""

    name: str
    """Empty for the recipe's own store."""
    recipe: config.Recipe
    store: VideoStore


def places(recipe: config.Recipe, store: VideoStore) -> list[EvaluationTarget]:
    """The recipe's own store, then those of [evaluate.stores].

    Raises VimixError, with the table's key, for a store that is missing or on which nothing can be scored.
    """
    own = [own_place(recipe, store)] if recipe.evaluate.own else []
    return [*own, *(other_place(recipe, name) for name in recipe.evaluate.stores)]


def own_place(recipe: config.Recipe, store: VideoStore) -> EvaluationTarget:
    """The recipe's own store. Raises VimixError if nothing can be scored there."""
    with _naming("evaluate"):
        require_scorable(recipe, store)
    return EvaluationTarget("", recipe, store)


def other_place(recipe: config.Recipe, name: str) -> EvaluationTarget:
    """One of [evaluate.stores]. Raises VimixError if it is missing, or nothing can be scored there."""
    there = recipe.on(name)
    with _naming(f"evaluate.stores.{name}"):
        store = wiring.build_store(there)
        require_scorable(there, store)
    return EvaluationTarget(name, there, store)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    try:
        yield
    except VimixError as error:
        raise VimixError(f"{key}: {error}") from error


def require_scorable(recipe: config.Recipe, store: VideoStore) -> None:
    """Raise VimixError unless the queries can be looked up in the gallery, and a linear layer be trained on that."""
    gallery, queries = recipe.evaluate.gallery, recipe.evaluate.queries
    require_fair_splits(store, gallery, queries)
    if len({store.videos[number].label for number in store.members(gallery)}) < 2:
        raise VimixError(f"all videos of split {gallery!r} are of one class, a linear probe needs two: choose another")


def require_fair_splits(store: VideoStore, train: str, test: str) -> None:
    """Raise VimixError unless both splits hold videos, all of them with labels, and none is in both."""
    for split in (train, test):
        wiring.require_labels(store, split)
        if not store.members(split):
            raise VimixError(f"split {split!r} holds no video: choose another split")
    if both := sorted({*store.members(train)} & {*store.members(test)}):
        raise VimixError(
            f"{len(both)} videos are in split {train!r}, to train on, and in {test!r}, to be tested on "
            f"({store.videos[both[0]].name}, ...): choose splits that do not overlap"
        )


def extract(
    recipe: config.Recipe,
    store: VideoStore,
    networks: Mapping[Modality, Network],
    compute: Compute,
    group: ProcessGroup | None = None,
    cache: FeatureCache | None = None,
) -> dict[Modality, FeaturePair]:
    """Features of gallery and queries, by modality; what the ``cache`` holds of them is not computed again.

    The members of a group share the videos out, and all get all. Raises VimixError, before anything is computed, if a
    split has videos without labels or none at all, or the two share some.
    """
    require_fair_splits(store, recipe.evaluate.gallery, recipe.evaluate.queries)
    sources, group = wiring.sources_of(store), group or SingleProcess()

    def computed(modality: Modality, split: str) -> VideoFeatures:
        mine = videos_of_rank(store.members(split), group)
        clips = wiring.build_evaluation_clips(recipe, store, mine, modality, compute)
        pool = wiring.build_pooling(recipe)
        return extract_features(networks[modality], clips, sources, recipe.evaluate.batch_clips, pool, group)

    def features(modality: Modality, split: str) -> VideoFeatures:
        if cache is None:
            return computed(modality, split)
        known = {**windows(recipe), "batch_clips": recipe.evaluate.batch_clips}
        manifest = manifest_of(networks[modality], store, modality, split, known, compute)
        return cache.get(manifest, lambda: computed(modality, split))

    return {
        modality: FeaturePair(features(modality, recipe.evaluate.gallery), features(modality, recipe.evaluate.queries))
        for modality in networks
    }


def retrieval(recipe: config.Recipe, pairs: Pairs) -> RetrievalScores:
    """R@k with FAISS; several modalities together."""
    gallery, queries = _sides(pairs)
    return retrieve(gallery, queries, FaissIndex, recipe.evaluate.recall_at, wiring.build_centring(recipe))


def linear(recipe: config.Recipe, pairs: Pairs) -> ProbeScores:
    """The linear probe; several modalities together."""
    gallery, queries = _sides(pairs)
    return linear_probe(gallery, queries, wiring.build_probe(recipe), recipe.seed, wiring.build_fusion(recipe))


def epochs_of_probe(recipe: config.Recipe) -> LinearSgd:
    """How the protocol trains its linear layer. Raises VimixError if it has no epochs to choose from."""
    settings = config.protocol_of(recipe).probe
    if settings is None:
        raise VimixError(
            f"--best-on-test: protocol {recipe.evaluate.protocol} chooses nothing on test videos; use --protocol coclr "
            "or crosclr"
        )
    return settings


def linear_best_on_test(recipe: config.Recipe, pairs: Pairs) -> dict[str, float]:
    """The epoch of the linear layers that is best on the test videos, and its accuracy: as the peers report."""
    probe, by_epoch = SgdProbe(epochs_of_probe(recipe)), {}
    for modality, pair in pairs.items():
        known = pair.gallery
        outcome = probe.fit_predict(known.features, known.labels, known.sources, pair.queries.features, recipe.seed)
        by_epoch[modality] = outcome.by_epoch
    labels = next(iter(pairs.values())).queries.labels
    epoch, accuracy = best_epoch(by_epoch, labels, wiring.build_fusion(recipe))
    return {"epoch": float(epoch), "top-1": accuracy}


def rows(recipe: config.Recipe, arm: str, pairs: Pairs, key: str = "", tested_on: str = "") -> list[Row]:
    """The arm's lines of the table: each modality, then all together."""
    pairs = in_order(recipe, pairs)
    groups = [{modality: pair} for modality, pair in pairs.items()]
    if len(pairs) > 1:
        groups.append(dict(pairs))
    return [
        Row(arm, " + ".join(group), {**retrieval(recipe, group).record, **linear(recipe, group).record}, key, tested_on)
        for group in groups
    ]


def in_order(recipe: config.Recipe, by_modality: Mapping[Modality, Anything]) -> dict[Modality, Anything]:
    """Of the recipe's modalities, whose streams bear the same name whoever was trained or named first."""
    return {m: by_modality[m] for m in map(Modality, recipe.modalities) if m in by_modality}


def windows(recipe: config.Recipe) -> dict[str, object]:
    """How videos become features: everything that decides them beside the encoder."""
    data, protocol = recipe.data, config.protocol_of(recipe)
    pictures = {
        "frames": data.frames,
        "frame_step": data.stride,
        "size": data.size,
        "window_stride": wiring.window_stride(recipe),
        "windows_end": protocol.windows_end,
        "padding": protocol.padding,
        "crop_share": protocol.crop_share,
    }
    skeletons = {"skeletons": f"whole sequences of {wiring.skeleton_settings(recipe).frames} frames"}
    return {
        **(pictures if recipe.pictures else {}),
        **(skeletons if recipe.skeletons else {}),
        "unit_clips": protocol.unit_clips,
        "mode": "encoder in evaluation mode, before the projection head",
    }


def protocol(recipe: config.Recipe) -> dict[str, object]:
    """How videos become scores, in full."""
    return {
        **asdict(config.protocol_of(recipe)),
        "changed_by_the_recipe": config.changes(recipe),
        **windows(recipe),
        "gallery": recipe.evaluate.gallery,
        "queries": recipe.evaluate.queries,
        "recall_at": list(recipe.evaluate.recall_at),
    }


def counts(recipe: config.Recipe, store: VideoStore) -> dict[str, int]:
    """Videos by split."""
    return {split: len(store.members(split)) for split in (recipe.evaluate.gallery, recipe.evaluate.queries)}


def draw_retrieval(place: EvaluationTarget, pairs: Pairs, path: Path, title: str, queries: int = 8) -> None:
    """A picture sheet of the first queries of as many classes and their five nearest videos, by the protocol."""
    (gallery, asked), store = _sides(pairs), place.store
    found = retrieve(gallery, asked, FaissIndex, (5,), wiring.build_centring(place.recipe))
    _, chosen = np.unique(found.query_labels, return_index=True)
    sheet = [
        SheetRow(
            _thumbnail(store, int(found.query_videos[i])),
            [_thumbnail(store, int(video)) for video in found.neighbours[i][:5]],
            [float(s) for s in found.similarities[i][:5]],
        )
        for i in chosen[:queries]
    ]
    draw_sheet(path, sheet, title)


def _thumbnail(store: VideoStore, number: int) -> Thumbnail:
    video = store.videos[number]
    modality = RGB if RGB in store.formats else next(iter(store.formats))
    frame = store.read(number, modality, video.frames // 2, 1)[0]
    if (layout := store.formats[modality].layout) is not None:
        frame = stick_figure(frame, layout)
    if frame.shape[-1] != 3:
        frame = np.repeat(frame[..., :1], 3, axis=-1)
    return Thumbnail(frame, video.name, store.classes[video.label] if video.label >= 0 else "?")


def _sides(pairs: Pairs) -> tuple[dict[Modality, VideoFeatures], dict[Modality, VideoFeatures]]:
    return {m: pair.gallery for m, pair in pairs.items()}, {m: pair.queries for m, pair in pairs.items()}
