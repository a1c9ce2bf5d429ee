"""A page of a small made-up run, for tests of the page and of it in a browser."""

from functools import cache
from pathlib import Path

import numpy as np

from tests.fakes.store import FakeVideoStore
from vimix.values.features import VideoFeatures
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters.commands import scores
from vimix_adapters.commands.report_clips import encoded_clip
from vimix_adapters.commands.report_panels import ArmFeatures, build_panels
from vimix_adapters.commands.scores import EvaluationTarget, FeaturePair
from vimix_adapters.config import Recipe, recipe_from_toml
from vimix_adapters.reports.curves import StageMetrics
from vimix_adapters.reports.page.catalogue import Catalogue
from vimix_adapters.reports.page.overview import RunFacts, overview_of
from vimix_adapters.reports.page.page import Page
from vimix_adapters.reports.page.training import boundaries_of, curves_of, panels_of
from vimix_adapters.reports.summaries import RunResults
from vimix_adapters.reports.tables import Row

RECIPE = """
name = "{name}"
[data]
store = "store.h5"
[modalities.rgb]
[modalities.flow]
channels = 2
[evaluate]
recall_at = [1, 5]
probe_inverse_regularisation = [1.0]
"""


def recipe(name: str = "small") -> Recipe:
    return recipe_from_toml(RECIPE.format(name=name), "r")


def features(store: FakeVideoStore, numbers: np.ndarray, noise: float, seed: int, size: int = 6) -> VideoFeatures:
    """Features that lie near one point for each class, the farther the more noise."""
    rng = np.random.default_rng(seed)
    labels = np.array([store.videos[number].label for number in numbers])
    centres = np.random.default_rng(9).normal(size=(len(store.classes), size))
    rows = (centres[labels] + noise * rng.normal(size=(len(numbers), size))).astype(np.float32)
    return VideoFeatures(rows, labels, numbers, numbers)


def arm(store: FakeVideoStore, title: str, noise: float, trained: bool = True) -> ArmFeatures:
    known, asked = (np.array(store.members(split)) for split in ("train", "test"))
    pairs: dict[Modality, FeaturePair] = {
        m: FeaturePair(features(store, known, noise, seed), features(store, asked, noise, seed + 10))
        for seed, m in enumerate((RGB, FLOW))
    }
    return ArmFeatures(title, pairs, scores.measure(recipe(), pairs), trained)


@cache
def arms(count: int) -> tuple[ArmFeatures, ...]:
    """Three arms on a store of so many videos; their probes take seconds, so all tests share them."""
    store = FakeVideoStore(count=count)
    titles = {"random initialisation": 3.0, "MoCo": 1.5, "Vi-Mix": 0.8}
    return tuple(arm(store, title, noise, noise < 3) for title, noise in titles.items())


def traces() -> list[StageMetrics]:
    rows = [
        {"step": step + 1, "epoch": step // 4, "loss": 4 - step / 8, "effective_rank": 3.0, "found_positives": 0.5}
        for step in range(8)
    ]
    return [StageMetrics("1-pretrain-rgb", ["rgb"], 2, rows), StageMetrics("2-cmmc-rgb-from-flow", ["rgb"], 2, rows)]


def sample_page(store: FakeVideoStore, clips: int = 500, name: str = "small") -> Page:
    """Two arms on a store, with results of two seeds and curves of one stage after another."""
    catalogue, of_store = Catalogue(encoded_clip, clips), arms(store.count)
    panels = build_panels(EvaluationTarget("", recipe(name), store), of_store, catalogue)
    runs = [
        RunResults(
            Path(f"seed-{seed}"),
            name,
            seed,
            [Row(a.title, "rgb", {"R@1": 0.2 * n + 0.01 * seed}, f"k{n}") for n, a in enumerate(of_store[1:], 1)],
        )
        for seed in (0, 1)
    ]
    changed, commit = {"data.store": '"store.h5"'}, "0123456789" * 6
    facts = [RunFacts(name, seed, f"seed-{seed}", commit=commit, changed=changed) for seed in (0, 1)]
    return Page(
        f"vimix: {name}",
        overview_of(runs, facts),
        panels_of([curves_of(name, 0, a.title, traces()) for a in of_store[1:]]),
        boundaries_of(name, "MoCo", traces()),
        panels.galleries,
        panels.maps,
        panels.errors,
        panels.matrices,
        catalogue.cards(),
        catalogue.clips,
    )
