"""Evaluating encoders on a store: features once, then every score and picture from them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from attrs import frozen

from vimix.app.extract import extract_features
from vimix.app.probe import linear_probe
from vimix.app.retrieve import retrieve
from vimix.ports.clips import VideoStore
from vimix.ports.network import Network
from vimix.values.features import VideoFeatures
from vimix.values.modality import RGB, Modality
from vimix.values.scores import ProbeScores, RetrievalScores
from vimix_adapters import config, wiring
from vimix_adapters.commands.caching import FeatureCache, manifest_of
from vimix_adapters.encoders.network import Compute
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reports.sheet import SheetRow, Thumbnail, draw_sheet
from vimix_adapters.reports.tables import Row


@frozen(eq=False)
class FeaturePair:
    """Features of the videos that are searched or trained on, and of those that are tested."""

    gallery: VideoFeatures
    queries: VideoFeatures


Pairs = Mapping[Modality, FeaturePair]


def extract(
    recipe: config.Recipe,
    store: VideoStore,
    networks: Mapping[Modality, Network],
    compute: Compute,
    cache: FeatureCache | None = None,
) -> dict[Modality, FeaturePair]:
    """Features of gallery and queries, by modality; what the ``cache`` holds of them is not computed again."""
    sources = wiring.sources_of(store)

    def computed(modality: Modality, split: str) -> VideoFeatures:
        clips = wiring.build_evaluation_clips(recipe, store, store.members(split), modality, compute)
        return extract_features(networks[modality], clips, sources, recipe.evaluate.batch_clips)

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
    return retrieve(gallery, queries, FaissIndex, recipe.evaluate.recall_at)


def linear(recipe: config.Recipe, pairs: Pairs) -> ProbeScores:
    """The linear probe; several modalities together."""
    gallery, queries = _sides(pairs)
    return linear_probe(gallery, queries, wiring.build_probe(recipe), recipe.seed)


def rows(recipe: config.Recipe, arm: str, pairs: Pairs) -> list[Row]:
    """The arm's lines of the table: each modality, then all together."""
    groups = [{modality: pair} for modality, pair in pairs.items()]
    if len(pairs) > 1:
        groups.append(dict(pairs))
    return [
        Row(arm, " + ".join(group), {**retrieval(recipe, group).record, **linear(recipe, group).record})
        for group in groups
    ]


def windows(recipe: config.Recipe) -> dict[str, object]:
    """How videos become features."""
    data = recipe.data
    return {
        "frames": data.frames,
        "frame_step": data.stride,
        "size": data.size,
        "crop": "largest centred square",
        "window_stride": wiring.window_stride(recipe),
        "windows": "over the whole video, the last one aligned with its end",
        "mode": "encoder in evaluation mode, before the projection head",
    }


def protocol(recipe: config.Recipe) -> dict[str, object]:
    """How videos become scores, in full."""
    return {
        "name": "vimix",
        **windows(recipe),
        "gallery": recipe.evaluate.gallery,
        "queries": recipe.evaluate.queries,
        "recall_at": list(recipe.evaluate.recall_at),
    }


def counts(recipe: config.Recipe, store: VideoStore) -> dict[str, int]:
    """Videos by split."""
    return {split: len(store.members(split)) for split in (recipe.evaluate.gallery, recipe.evaluate.queries)}


def draw_retrieval(store: VideoStore, pairs: Pairs, path: Path, title: str, queries: int = 8) -> None:
    """A picture sheet of the first queries of as many classes and their five nearest videos."""
    gallery, asked = _sides(pairs)
    found = retrieve(gallery, asked, FaissIndex, (5,))
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
    if frame.shape[-1] != 3:
        frame = np.repeat(frame[..., :1], 3, axis=-1)
    return Thumbnail(frame, video.name, store.classes[video.label] if video.label >= 0 else "?")


def _sides(pairs: Pairs) -> tuple[dict[Modality, VideoFeatures], dict[Modality, VideoFeatures]]:
    return {m: pair.gallery for m, pair in pairs.items()}, {m: pair.queries for m, pair in pairs.items()}
