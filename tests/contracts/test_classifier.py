"""What every classifier must do, the fake and the real one alike."""

import pytest
import torch

from tests.fakes.classifier import FakeClassifier
from tests.fakes.skeletons import chain
from vimix.ports.network import Classifier
from vimix_adapters.encoders.classifying_network import ClassifyingNetwork, FrozenClassifier
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.s3d import S3DEncoder
from vimix_adapters.encoders.stgcn import STGCNEncoder


def fake(dropout: float) -> Classifier:
    return FakeClassifier(classes=4, dropout=dropout)


def s3d(dropout: float) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ClassifyingNetwork(S3DEncoder(width=0.0625), 4, dropout, Compute(torch.device("cpu")))


def frozen(dropout: float) -> Classifier:
    del dropout  # it has none
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = S3DEncoder(width=0.0625)
        return FrozenClassifier(encoder, 4, unit_features=True, batch_norm=True, compute=Compute(torch.device("cpu")))


def stgcn(dropout: float) -> Classifier:
    """The clips of this suite are 32 joints of 32 persons to it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = STGCNEncoder(chain(32), hidden_channels=4, feature_size=8, dropout=0.0)
        return ClassifyingNetwork(encoder, 4, dropout, Compute(torch.device("cpu")))


@pytest.fixture(params=[fake, s3d, frozen, stgcn])
def build(request):
    return request.param


def clips(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, 8, 32, 32, generator=torch.Generator().manual_seed(7))


def test_logits_are_float32_with_gradients_and_move_the_statistics(build) -> None:
    classifier = build(0.0)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    logits = classifier.logits(clips())
    assert (logits.shape, logits.dtype, logits.requires_grad) == ((4, 4), torch.float32, True)
    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(before[name], value)}
    assert moved
    assert all("running" in name or "num_batches" in name for name in moved)


def test_probabilities_are_a_distribution_that_ignores_the_batch_and_moves_nothing(build) -> None:
    classifier = build(0.5)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    together = classifier.probabilities(clips())
    torch.testing.assert_close(together.sum(dim=1), torch.ones(4))
    assert not together.requires_grad
    torch.testing.assert_close(together[2:3], classifier.probabilities(clips()[2:3]), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], value) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize("build", [fake, s3d])
def test_dropout_acts_in_training_only(build) -> None:
    classifier = build(0.5)
    torch.testing.assert_close(classifier.probabilities(clips()), classifier.probabilities(clips()))
    assert not torch.equal(classifier.logits(clips()), classifier.logits(clips()))


def test_training_a_layer_moves_nothing_of_its_frozen_encoder() -> None:
    classifier = frozen(0.0)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    optimiser = torch.optim.SGD(classifier.layer(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(classifier.logits(clips()), torch.arange(4)).backward()
        optimiser.step()
    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(before[name], value)}
    assert moved == {"linear.weight", "linear.bias", *(n for n in before if n.startswith("norm."))}
    features = classifier.encoder.pool(
        classifier.encoder.partial_forward(clips(), 0, classifier.encoder.depth)
    ).detach()
    unit = torch.nn.functional.normalize(features, dim=1)
    expected = classifier.linear(classifier.norm.train(False)(unit)).softmax(dim=1)
    torch.testing.assert_close(classifier.probabilities(clips()), expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_state_restores_what_the_classifier_says(build) -> None:
    one, two = build(0.0), build(0.0)
    one.logits(clips() + 1)
    two.load_state_dict(one.state_dict())
    assert torch.equal(one.probabilities(clips()), two.probabilities(clips()))
