"""Training with labels, and classification of test videos by the mean over all their views."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from vimix.app.learner import StepOutcome
from vimix.app.parallel import SINGLE_PROCESS, rows_by_video
from vimix.domain.scores.accuracy import top_k_accuracy
from vimix.domain.scores.feature_scaling import mean_row
from vimix.domain.scores.fusion import MEAN_PROBABILITY, Fusion
from vimix.ports.clips import EvaluationClips
from vimix.ports.network import Classifier, Optimiser
from vimix.ports.process_group import ProcessGroup
from vimix.values.clip_batch import ClipBatch, VideoClips
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.predictions import FinetuneScores, VideoProbabilities, WindowProbabilities


@frozen(eq=False)
class SupervisedLearner:
    """A classifier with its optimiser, as ``vimix.app.train.train`` trains it."""

    modality: Modality
    classifier: Classifier
    optimiser: Optimiser

    def learn(self, clips: Tensor, labels: Tensor) -> StepOutcome:
        """Update on the cross-entropy of clips [B, C, T, H, W] with labels [B]."""
        logits = self.classifier.logits(clips)
        loss = cross_entropy(logits, labels)
        skipped = self.optimiser.step(loss)
        accuracy = (logits.detach().argmax(dim=1) == labels).float().mean()
        return StepOutcome(loss.detach(), accuracy, weight=1.0, skipped=skipped)

    @property
    def mutable_state(self) -> Iterable[Tensor]:
        """BatchNorm's statistics: a step changes them before its loss is known to be finite."""
        return self.classifier.buffers()

    def diagnostics(self, last: StepOutcome) -> dict[str, float]:
        """Empty: loss and accuracy say it all."""
        del last
        return {}

    def state_dict(self) -> dict[str, Mapping[str, Any]]:
        """The parts of a checkpoint."""
        return {"classifier": self.classifier.state_dict(), "optimiser": self.optimiser.state_dict()}

    def resume(self, parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Restore the state from the parts of a checkpoint, so that training continues as if never interrupted."""
        self.classifier.load_state_dict(parts["classifier"])
        self.optimiser.load_state_dict(parts["optimiser"])


def supervised_step(learner: SupervisedLearner) -> Callable[[ClipBatch, np.random.Generator], StepOutcome]:
    """A step on one augmented view of each video, with its label."""

    def step(batch: ClipBatch, _: np.random.Generator) -> StepOutcome:
        return learner.learn(batch.views[learner.modality][0], batch.labels)

    return step


def classify(
    classifier: Classifier, clips: EvaluationClips, batch: int, group: ProcessGroup = SINGLE_PROCESS
) -> VideoProbabilities:
    """Softmax averaged over all windows and crops of each video; ``batch`` clips pass the network at a time.

    In a group each rank classifies the videos of its ``clips``, perhaps none, and all ranks get all predictions.
    Raises VimixError if there is no video, or a probability is not finite (training diverged).
    """
    views = ((view, _of_view(classifier, view, batch)) for view in clips.videos())
    rows, labels, videos = rows_by_video(views, mean_row, group)
    if not rows:
        raise VimixError("there is no video to classify: the split is empty; name another split")
    return VideoProbabilities(np.stack(rows), np.array(labels, dtype=np.int64), np.array(videos, dtype=np.int64))


def classify_windows(classifier: Classifier, clips: EvaluationClips, batch: int) -> WindowProbabilities:
    """Softmax of each window of one video, averaged over its crops; ``batch`` clips pass the network at a time.

    Raises VimixError if a probability is not finite (training diverged).
    """
    by_start: dict[int, list[NDArray[np.float32]]] = {}
    for view in clips.videos():
        for start, row in zip(view.starts, _of_view(classifier, view, batch), strict=True):
            by_start.setdefault(start, []).append(row)
    starts = tuple(sorted(by_start))
    return WindowProbabilities(np.stack([mean_row(np.stack(by_start[start])) for start in starts]), starts)


def _of_view(classifier: Classifier, view: VideoClips, batch: int) -> NDArray[np.float32]:
    """Probabilities [N, classes] of N clips. Raises VimixError if one is not finite."""
    rows = np.concatenate([classifier.probabilities(part).cpu().numpy() for part in torch.split(view.clips, batch)])
    if not np.isfinite(rows).all():
        raise VimixError("the classifier's probabilities are not finite: its training diverged; lower finetune.lr")
    return rows


def finetune_scores(
    streams: Mapping[Modality, VideoProbabilities], fusion: Fusion = MEAN_PROBABILITY
) -> FinetuneScores:
    """Top-1 and top-5 accuracy, the modalities fused.

    Raises VimixError if the modalities were tested on different videos.
    """
    first = next(iter(streams.values()))
    if any(not np.array_equal(first.videos, stream.videos) for stream in streams.values()):
        raise VimixError("the modalities were tested on different videos")
    probabilities = fusion.fuse([stream.probabilities for stream in streams.values()])
    return FinetuneScores(
        top1=top_k_accuracy(probabilities, first.labels, 1),
        top5=top_k_accuracy(probabilities, first.labels, 5),
        tested=VideoProbabilities(probabilities, first.labels, first.videos),
    )
