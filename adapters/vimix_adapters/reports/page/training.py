"""Training curves of the page: every quantity in the metrics of the stages, by epoch."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import frozen

from vimix_adapters.reports.curves import StageMetrics, of_view

POINTS = 120
"""Most points of a curve within a stage; neighbouring rows of metrics are averaged beyond it."""
AXES = ("step", "epoch")
"""Numbers of a row that are not drawn."""


@frozen
class TrainingQuantity:
    """A quantity of ``metrics.jsonl`` with the words that explain it to a reader."""

    name: str
    title: str
    group: str
    """Heading that it is drawn under."""
    reading: str
    """One sentence that says how to read its curve."""
    percent: bool = False


KNOWN: Sequence[TrainingQuantity] = (
    TrainingQuantity("loss", "Loss (nats)", "Learning", "It falls while the encoder learns to tell videos apart."),
    TrainingQuantity(
        "pretext_accuracy",
        "Pretext accuracy (%)",
        "Learning",
        "Share of clips whose other view is found among all candidates; near 100 the task teaches nothing more.",
        percent=True,
    ),
    TrainingQuantity(
        "knn_accuracy",
        "kNN accuracy (%)",
        "Learning",
        "Share of test videos that get the right class from their nearest neighbours: higher features are better.",
        percent=True,
    ),
    TrainingQuantity("learning_rate", "Learning rate", "Learning", "It drops at the milestones of the recipe."),
    TrainingQuantity(
        "alignment",
        "Alignment",
        "Signs of a collapse",
        "Squared distance of the two views of a video: low is good, but 0 together with a uniformity of 0 is a "
        "collapse.",
    ),
    TrainingQuantity(
        "uniformity",
        "Uniformity",
        "Signs of a collapse",
        "How evenly embeddings are spread: about -4 is even, 0 means that all of them are one point.",
    ),
    TrainingQuantity(
        "effective_rank",
        "Effective rank",
        "Signs of a collapse",
        "Number of directions that the embeddings of a batch use: a fall towards 1 is a collapse.",
    ),
    TrainingQuantity(
        "margin",
        "Margin",
        "Signs of a collapse",
        "Similarity to the own video minus that to other videos: 0 means that the encoder cannot tell them apart.",
    ),
    TrainingQuantity(
        "queue_age",
        "Queue age (steps)",
        "Signs of a collapse",
        "Age of the oldest key that queries are compared with: it comes from an older encoder.",
    ),
    TrainingQuantity("queue_filled", "Keys in the queue", "Signs of a collapse", "It grows until the queue is full."),
    TrainingQuantity(
        "weight",
        "Own share of a mixed query",
        "Signs of a collapse",
        "Share of a mixed clip or map that is not its partner's: 1 means that nothing was mixed.",
    ),
    TrainingQuantity(
        "bn_mean_gap",
        "BatchNorm means, query - key (σ)",
        "What mixing does to the encoder",
        "Distance of the query encoder's running means from the key encoder's, whose clips are not mixed.",
    ),
    TrainingQuantity(
        "bn_variance_ratio",
        "BatchNorm variances, query / key",
        "What mixing does to the encoder",
        "Below 1, mixed clips vary less than the unmixed clips that the encoder is evaluated on.",
    ),
    TrainingQuantity(
        "positives", "Mined positives of a query", "Mined positives", "Mean number; the own key is not counted."
    ),
    TrainingQuantity(
        "positives_own_class",
        "Mined positives of the own class (%)",
        "Mined positives",
        "The others teach that videos of different classes are alike.",
        percent=True,
    ),
    TrainingQuantity(
        "positives_own_recording",
        "Mined positives of the own recording (%)",
        "Mined positives",
        "Near 100 the mining finds nothing but other clips of the query's video.",
        percent=True,
    ),
    TrainingQuantity(
        "positives_age", "Age of mined positives (steps)", "Mined positives", "Steps since they were enqueued."
    ),
    TrainingQuantity(
        "positives_similarity",
        "Similarity of mined positives",
        "Mined positives",
        "Mean cosine of the query with them: it rises while the encoder learns that they are alike.",
    ),
    TrainingQuantity("bad_steps", "Skipped steps", "Signs of a collapse", "Number of steps whose loss was not finite."),
    TrainingQuantity("clips_per_second", "Clips per second", "Speed", "Speed of the training."),
    TrainingQuantity("data_time", "Waiting for data (%)", "Speed", "Share of the time.", percent=True),
)
"""Quantities that the page explains; any other is drawn under "Further quantities" with its own name."""


@frozen
class TrainingCurve:
    """A quantity of one modality through all stages of an arm, by epoch."""

    recipe: str
    arm: str
    modality: str
    seed: int
    epochs: Sequence[float]
    """[N], epochs since the first stage of the modality."""
    values: Sequence[float]
    """[N], in the units of ``metrics.jsonl``."""


@frozen
class CurvePanel:
    """The curves of one quantity."""

    quantity: TrainingQuantity
    curves: Sequence[TrainingCurve]


@frozen
class Boundary:
    """A stage of one arm and modality, and the epoch at which it begins."""

    recipe: str
    arm: str
    modality: str
    stage: str
    epoch: int


def curves_of(recipe: str, seed: int, arm: str, stages: Sequence[StageMetrics]) -> dict[str, list[TrainingCurve]]:
    """The curves of an arm by quantity: one for each modality that its stages train."""
    found: dict[str, list[TrainingCurve]] = {}
    for modality in _modalities(stages):
        points: dict[str, list[tuple[float, float]]] = {}
        for first, stage in _placed(stages, modality):
            rows = of_view(stage.rows, modality)
            for name in dict.fromkeys(key for row in rows for key in row if key not in AXES):
                points.setdefault(name, []).extend(_thinned(_points(first, rows, name)))
        for name, pairs in points.items():
            epochs, values = zip(*pairs, strict=True)
            found.setdefault(name, []).append(TrainingCurve(recipe, arm, modality, seed, epochs, values))
    return found


def boundaries_of(recipe: str, arm: str, stages: Sequence[StageMetrics]) -> list[Boundary]:
    """The epochs at which the stages of an arm begin."""
    return [
        Boundary(recipe, arm, modality, stage.folder, first)
        for modality in _modalities(stages)
        for first, stage in _placed(stages, modality)
    ]


def panels_of(found: Sequence[Mapping[str, Sequence[TrainingCurve]]]) -> list[CurvePanel]:
    """One panel for each quantity that some arm has: the known ones in order, then all others by name."""
    names = dict.fromkeys(name for curves in found for name in curves)
    known = {quantity.name: quantity for quantity in KNOWN}
    order = [name for name in known if name in names] + sorted(name for name in names if name not in known)
    return [
        CurvePanel(
            known.get(name)
            or TrainingQuantity(name, name.replace("_", " "), "Further quantities", "As recorded in training."),
            [curve for curves in found for curve in curves.get(name, ())],
        )
        for name in order
    ]


def _modalities(stages: Sequence[StageMetrics]) -> list[str]:
    return list(dict.fromkeys(modality for stage in stages for modality in stage.modalities))


def _placed(stages: Sequence[StageMetrics], modality: str) -> list[tuple[int, StageMetrics]]:
    """The stages that train the modality, each with the epoch at which it begins."""
    own = [stage for stage in stages if modality in stage.modalities]
    firsts = np.cumsum([0, *(stage.epochs for stage in own)])
    return [(int(first), stage) for first, stage in zip(firsts, own, strict=False)]


def _points(first: int, rows: Sequence[Mapping[str, float]], name: str) -> list[tuple[float, float]]:
    """(epoch, value) of each row that has the quantity; rows of one epoch are spread evenly over it."""
    counts, seen = Counter(row["epoch"] for row in rows), Counter[float]()
    points = []
    for row in rows:
        epoch = row["epoch"]
        seen[epoch] += 1
        if name in row:
            points.append((first + epoch + seen[epoch] / counts[epoch], row[name]))
    return points


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``POINTS`` points: means of neighbouring ones."""
    if len(points) <= POINTS:
        return list(points)
    parts = np.array_split(np.array(points), POINTS)
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]
