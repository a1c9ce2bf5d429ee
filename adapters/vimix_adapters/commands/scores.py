"""Scores of encoders on a store: features are extracted once, and every score is computed from them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from attrs import asdict, define, field, frozen
from numpy.typing import NDArray

from vimix.app.cross_modal_matrix import cross_modal
from vimix.app.feature_extraction import extract_features
from vimix.app.linear_probe import best_epoch, linear_probe
from vimix.app.parallel import SINGLE_PROCESS, videos_of_rank
from vimix.app.retrieve import retrieve
from vimix.app.streams import Streams, side_by_side
from vimix.ports.clips import VideoStore
from vimix.ports.network import Network
from vimix.ports.probe import LinearProbe, ProbeOutcome
from vimix.ports.process_group import ProcessGroup
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality
from vimix.values.predictions import CrossModalScores, ProbeScores, RetrievalScores
from vimix_adapters import config, wiring
from vimix_adapters.commands.feature_cache import FeatureCache, manifest_of, windows
from vimix_adapters.commands.spread_features import FeatureTasks, spread_features
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reports.tables import UNTRAINED, Row


@frozen(eq=False)
class FeaturePair:
    """Features of the gallery (searched by retrieval, trained on by probes) and of the queries (tested)."""

    gallery: VideoFeatures
    queries: VideoFeatures


Value = TypeVar("Value")
Pairs = Mapping[Modality, FeaturePair]


@frozen(eq=False)
class Measured:
    """Scores of one modality or of several together, with the predictions behind them."""

    modalities: tuple[Modality, ...]
    retrieval: RetrievalScores
    linear: ProbeScores

    @property
    def streams(self) -> str:
        """``rgb``, ``flow``, ``rgb + flow``, ..."""
        return " + ".join(self.modalities)


@define(eq=False)
class OnceProbe:
    """Implements ``vimix.ports.probe.LinearProbe`` by another probe, which is trained once for each array of features.

    A modality is scored alone and together with others, with the same probe. The arrays must not be changed.
    """

    probe: LinearProbe
    _known: list[tuple[NDArray[np.float32], NDArray[np.float32], int, ProbeOutcome]] = field(init=False, factory=list)

    def fit_predict(
        self,
        features: NDArray[np.float32],
        labels: NDArray[np.int64],
        sources: NDArray[np.int64],
        queries: NDArray[np.float32],
        seed: int,
    ) -> ProbeOutcome:
        """The outcome of the probe for exactly these arrays."""
        for trained_on, tested, seeded, outcome in self._known:
            if trained_on is features and tested is queries and seeded == seed:
                return outcome
        outcome = self.probe.fit_predict(features, labels, sources, queries, seed)
        self._known.append((features, queries, seed, outcome))
        return outcome


@frozen(eq=False)
class EvaluationTarget:
    """A store with a recipe to evaluate on it."""

    name: str
    """Its key in [evaluate.stores]; empty for the recipe's own store."""
    recipe: config.Recipe
    """The recipe with the settings of this store."""
    store: VideoStore

    @property
    def videos(self) -> dict[str, int]:
        """Number of videos by split, gallery and queries."""
        evaluate = self.recipe.evaluate
        return {split: len(self.store.members(split)) for split in (evaluate.gallery, evaluate.queries)}


def evaluation_targets(recipe: config.Recipe, store: VideoStore) -> list[EvaluationTarget]:
    """Return the recipe's own store, then those of [evaluate.stores].

    Raises VimixError, naming the table's key, for a store that is missing or on which nothing can be scored, and for an
    arm that is called like the row of untrained encoders.
    """
    for arm in recipe.arms:
        if UNTRAINED in (arm, recipe.title(arm)):
            raise VimixError(f"[arms.{arm}]: {UNTRAINED!r} names the row of untrained encoders: rename the arm")
    own = [evaluation_target(recipe, store=store)] if recipe.evaluate.own else []
    return [*own, *(evaluation_target(recipe, name) for name in recipe.evaluate.stores)]


def evaluation_target(recipe: config.Recipe, name: str = "", store: VideoStore | None = None) -> EvaluationTarget:
    """Return the store ``name`` of [evaluate.stores], or the recipe's own, which is ``store`` if it is open.

    Raises VimixError naming the table's key if the store is missing, or retrieval and linear probe cannot be scored on
    it: splits that overlap, a gallery of one class.
    """
    key, moved = (f"evaluate.stores.{name}", recipe.on(name)) if name else ("evaluate", recipe)
    try:
        opened = wiring.build_store(moved) if store is None else store
        require_fair_splits(opened, moved.evaluate.gallery, moved.evaluate.queries)
        require_classes(opened, moved.evaluate.gallery)
    except VimixError as error:
        raise VimixError(f"{key}: {error}") from error
    return EvaluationTarget(name, moved, opened)


def require_classes(store: VideoStore, split: str) -> None:
    """Raise VimixError unless the training videos of a classifier have at least two classes."""
    if len({store.videos[number].label for number in store.members(split)}) < 2:
        raise VimixError(f"all videos of split {split!r} are of one class, a classifier needs two: choose another")


def require_fair_splits(store: VideoStore, train: str, test: str) -> None:
    """Raise VimixError unless both splits hold videos, all videos have labels and no video is in both splits."""
    for split in (train, test):
        wiring.require_labels(store, split)
        if not store.members(split):
            raise VimixError(f"split {split!r} holds no video: choose another split")
    if both := sorted({*store.members(train)} & {*store.members(test)}):
        raise VimixError(
            f"{len(both)} videos are in split {train!r}, to train on, and in {test!r}, to be tested on "
            f"({store.videos[both[0]].name}, ...): choose splits that do not overlap"
        )


def build_networks(
    recipe: config.Recipe, arms: Mapping[str, Mapping[Modality, Checkpoint]], compute: Compute
) -> dict[str, dict[Modality, Network]]:
    """Untrained networks of all modalities in ``arms``, then the networks of each arm's checkpoints, by arm."""
    modalities = [m for m in map(Modality, recipe.modalities) if any(m in trained for trained in arms.values())]
    networks: dict[str, dict[Modality, Network]] = {
        UNTRAINED: {m: wiring.build_network(recipe, m, compute) for m in modalities}
    }
    for arm, trained in arms.items():
        networks[arm] = {m: wiring.build_trained(recipe, checkpoint, compute) for m, checkpoint in trained.items()}
    return networks


def extract(
    target: EvaluationTarget,
    networks: Mapping[Modality, Network],
    compute: Compute,
    group: ProcessGroup = SINGLE_PROCESS,
    cache: FeatureCache | None = None,
    tasks: FeatureTasks | None = None,
) -> dict[Modality, FeaturePair]:
    """Extract features of gallery and queries by modality; those in ``cache`` are read instead.

    The ranks of a group share the videos, and every rank gets all features; or ``tasks`` share them.
    Raises VimixError, before any work, if a split is empty or has videos without labels, or a video is in both.
    """
    recipe, store = target.recipe, target.store
    require_fair_splits(store, recipe.evaluate.gallery, recipe.evaluate.queries)
    sources = wiring.sources_of(store)

    def computed(modality: Modality, split: str) -> VideoFeatures:
        pool = wiring.build_pooling(recipe)
        run = partial(extract_features, sources=sources, batch=recipe.evaluate.batch_clips, pool=pool)
        if tasks is not None:
            members = store.members(split)
            return spread_features(tasks, recipe, store, members, manifest(modality, split), run, VideoFeatures)
        mine = videos_of_rank(store.members(split), group)
        clips = wiring.build_evaluation_clips(recipe, store, mine, modality, compute)
        return run(networks[modality], clips, group=group)

    def manifest(modality: Modality, split: str) -> dict[str, Any]:
        if tasks is not None:
            return tasks.manifest(networks[modality], store, modality, split, recipe)
        return manifest_of(networks[modality], store, modality, split, recipe, compute)

    def features(modality: Modality, split: str) -> VideoFeatures:
        if cache is None:
            return computed(modality, split)
        return cache.get(manifest(modality, split), lambda: computed(modality, split))

    return {
        modality: FeaturePair(features(modality, recipe.evaluate.gallery), features(modality, recipe.evaluate.queries))
        for modality in networks
    }


def retrieval(recipe: config.Recipe, pairs: Pairs) -> RetrievalScores:
    """R@k by exact search; similarities of several modalities are averaged."""
    gallery, queries = sides(pairs)
    return retrieve(gallery, queries, FaissIndex, recipe.evaluate.recall_at, wiring.build_centring(recipe))


def cross_modal_scores(recipe: config.Recipe, pairs: Pairs) -> CrossModalScores:
    """Every modality against every other, with the protocol's centring."""
    gallery, queries = sides(pairs)
    return cross_modal(gallery, queries, FaissIndex, recipe.evaluate.recall_at, wiring.build_centring(recipe))


def linear(recipe: config.Recipe, pairs: Pairs, probe: LinearProbe | None = None) -> ProbeScores:
    """Accuracy of a linear probe; several modalities are fused, or trained together, as the protocol says.

    ``probe`` replaces the protocol's where each modality is trained by itself.
    """
    own, gallery, queries = _probed(recipe, pairs)
    chosen = probe if probe is not None and len(gallery) == len(pairs) else own
    return linear_probe(gallery, queries, chosen, recipe.seed, wiring.build_fusion(recipe))


def _probed(recipe: config.Recipe, pairs: Pairs) -> tuple[LinearProbe, Streams, Streams]:
    """The linear probe with the gallery and the queries that it sees: one stream if it trains all together."""
    gallery, queries = sides(pairs)
    sgd = config.protocol_of(recipe).probe
    if sgd is None or not sgd.together or len(pairs) == 1:
        return wiring.build_probe(recipe), gallery, queries
    widths = tuple(stream.features.shape[1] for stream in gallery.values())
    return wiring.build_probe(recipe, widths), side_by_side(gallery), side_by_side(queries)


def linear_best_on_test(recipe: config.Recipe, pairs: Pairs) -> dict[str, float]:
    """Epoch at which the linear layers are best on the test videos, and their accuracy, as the peers report it.

    The protocol must train them in epochs.
    """
    probe, gallery, queries = _probed(recipe, pairs)
    by_epoch = {
        m: probe.fit_predict(known.features, known.labels, known.sources, queries[m].features, recipe.seed).by_epoch
        for m, known in gallery.items()
    }
    labels = next(iter(queries.values())).labels
    epoch, accuracy = best_epoch(by_epoch, labels, wiring.build_fusion(recipe))
    return {"epoch": float(epoch), "top-1": accuracy}


def measure(recipe: config.Recipe, pairs: Pairs) -> list[Measured]:
    """Scores of the encoders of an arm: of each modality, then of all together."""
    pairs = in_order(recipe, pairs)
    groups = [{modality: pair} for modality, pair in pairs.items()]
    if len(pairs) > 1:
        groups.append(dict(pairs))
    probe = OnceProbe(wiring.build_probe(recipe))
    return [Measured(tuple(group), retrieval(recipe, group), linear(recipe, group, probe)) for group in groups]


def rows(measured: Sequence[Measured], arm: str, key: str = "", tested_on: str = "") -> list[Row]:
    """The scores of an arm as rows of the table."""
    return [Row(arm, one.streams, {**one.retrieval.record, **one.linear.record}, key, tested_on) for one in measured]


def in_order(recipe: config.Recipe, by_modality: Mapping[Modality, Value]) -> dict[Modality, Value]:
    """The same mapping in the recipe's order, so that several streams always have the same joint name."""
    return {m: by_modality[m] for m in map(Modality, recipe.modalities) if m in by_modality}


def protocol(recipe: config.Recipe) -> dict[str, object]:
    """Everything that determines the scores of an encoder, as plain data for the record."""
    return {
        **asdict(config.protocol_of(recipe)),
        "changed_by_the_recipe": config.changes(recipe),
        **windows(recipe),
        "gallery": recipe.evaluate.gallery,
        "queries": recipe.evaluate.queries,
        "recall_at": list(recipe.evaluate.recall_at),
    }


def sides(pairs: Pairs) -> tuple[dict[Modality, VideoFeatures], dict[Modality, VideoFeatures]]:
    """Features of the gallery and of the queries, by modality."""
    return {m: pair.gallery for m, pair in pairs.items()}, {m: pair.queries for m, pair in pairs.items()}
