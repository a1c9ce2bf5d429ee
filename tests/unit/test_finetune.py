"""Training with labels, and predictions for whole videos."""

import numpy as np
import pytest
import torch

from tests.fakes.checkpoints import FakeCheckpointStore
from tests.fakes.classifier import FakeClassifier
from tests.fakes.clips import FakeEvaluationClips, FakeTrainingClips
from tests.unit.test_train_loop import stage_run
from vimix.app.finetune import SupervisedLearner, classify, finetune_scores, supervised_step
from vimix.app.stage_run import StageRun
from vimix.app.train import train
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB
from vimix.values.predictions import VideoProbabilities
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.encoders.s3d import S3DEncoder

CPU = torch.device("cpu")


def stage(epochs: int = 30, **changes) -> StageRun:
    classifier = FakeClassifier()
    optimiser = TorchOptimiser(torch.optim.Adam(classifier.parameters(), lr=1e-2))
    learner = SupervisedLearner(RGB, classifier, optimiser)
    parts = {
        "learner": learner,
        "step": supervised_step(learner),
        "clips": FakeTrainingClips(views={RGB: 1}, videos=6, batch=3),
        "epochs": epochs,
        "rate": 3e-2,
        "milestones": (),
        "log_every": 10,
        "checkpoint_seconds": 0,
    }
    return stage_run(**{**parts, **changes})


@pytest.mark.slow
def test_a_finetuned_classifier_knows_its_training_videos() -> None:
    run = stage()
    before = finetune_scores({RGB: classify(run.learner.classifier, FakeEvaluationClips(), batch=2)})
    train(run)
    after = finetune_scores({RGB: classify(run.learner.classifier, FakeEvaluationClips(), batch=2)})
    assert after.top1 == 1.0 > before.top1
    assert run.metrics.rows[-1]["loss"] < run.metrics.rows[0]["loss"]


@pytest.mark.slow
def test_a_resumed_finetuning_is_the_unbroken_one() -> None:
    whole = train(stage(epochs=10))
    checkpoints = FakeCheckpointStore()
    train(stage(epochs=5, checkpoints=checkpoints))
    resumed = train(stage(epochs=10, checkpoints=checkpoints))
    for name, value in whole.parts["classifier"].items():
        assert torch.equal(value, resumed.parts["classifier"][name])


def test_streams_are_averaged_and_must_show_the_same_videos() -> None:
    def predicted(*rows: list[float], videos=(0, 1)) -> VideoProbabilities:
        return VideoProbabilities(np.array(rows, dtype=np.float32), np.array([0, 1]), np.array(videos))

    rgb, flow = predicted([0.9, 0.1], [0.6, 0.4]), predicted([0.4, 0.6], [0.1, 0.9])
    assert finetune_scores({RGB: rgb}).top1 == 0.5
    assert finetune_scores({RGB: rgb, FLOW: flow}).top1 == 1.0
    with pytest.raises(VimixError, match="different videos"):
        finetune_scores({RGB: rgb, FLOW: predicted([1, 0], [1, 0], videos=(0, 2))})


def test_an_empty_split_and_a_diverged_classifier_are_refused() -> None:
    with pytest.raises(VimixError, match="the split is empty"):
        classify(FakeClassifier(), FakeEvaluationClips(members=()), batch=2)
    broken = FakeClassifier()
    torch.nn.init.constant_(broken[2].weight, float("nan"))
    with pytest.raises(VimixError, match="diverged"):
        classify(broken, FakeEvaluationClips(), batch=2)


def test_an_encoder_is_taken_over_without_its_head() -> None:
    compute = Compute(CPU)
    trained = ContrastiveNetwork(S3DEncoder(width=0.0625), embedding=5, groups=1, compute=compute)
    classifier = ClassifyingNetwork(S3DEncoder(width=0.0625), 3, 0.0, compute)
    classifier.load_encoder(trained.state_dict())
    clips = torch.randn(2, 3, 8, 32, 32)
    classifier.eval()
    features = classifier.encoder.pool(classifier.encoder.partial_forward(clips, 0, classifier.encoder.depth))
    torch.testing.assert_close(features, trained.features(clips), rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="Missing key"):
        classifier.load_encoder({"encoder.features.0.nothing": torch.zeros(1)})


def test_a_group_of_parameters_gets_its_share_of_the_rate() -> None:
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimiser = TorchOptimiser(torch.optim.SGD([{"params": [one], "share": 0.1}, {"params": [two]}], lr=1.0))
    optimiser.set_learning_rate(0.5)
    optimiser.step((one + two).sum())
    torch.testing.assert_close(one.detach(), torch.tensor([-0.05]))
    torch.testing.assert_close(two.detach(), torch.tensor([-0.5]))
