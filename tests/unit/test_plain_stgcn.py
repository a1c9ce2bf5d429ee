"""The reference that ST-GCN's training step is timed against computes the same, weight by weight."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor

from vimix.values.modality import JOINT
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks import step_speed
from vimix_adapters.benchmarks.plain_stgcn import PlainSTGCN
from vimix_adapters.benchmarks.timing import TINY
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork

CPU = Compute(torch.device("cpu"))


@pytest.fixture(autouse=True)
def fixed_noise():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def recipe() -> config.Recipe:
    """The benchmark's recipe without dropout, which two implementations cannot draw alike."""
    full = step_speed.skeleton_recipe(TINY)
    still = evolve(full.modalities[JOINT], stgcn=config.Stgcn(dropout=0.0))
    return evolve(full, modalities={JOINT: still}, contrast=evolve(full.contrast, queue=8, bn_groups=2))


def theirs(name: str) -> str:
    """The plain network's name for one of vimix's weights."""
    name = name.removeprefix("encoder.").replace("features.0.0.norm", "norm")
    return name.replace("features.0.1.", "features.0.")


def twins() -> tuple[ContrastiveNetwork, PlainSTGCN]:
    """Both networks with the same weights; edge importances and running statistics are as after some training."""
    ours, plain = wiring.build_network(recipe(), JOINT, CPU), PlainSTGCN(dropout=0.0)
    generator = torch.Generator().manual_seed(1)
    for name, value in ours.state_dict().items():
        if "importance" in name or name.endswith("bias"):
            value.add_(torch.randn(value.shape, generator=generator), alpha=0.1)
        if "running" in name:
            value.uniform_(0.01, 0.05, generator=generator)
    plain.load_state_dict(renamed(ours.state_dict()))
    return ours, plain


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {theirs(name): value for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
def test_embeddings_and_statistics_are_equal(training) -> None:
    ours, plain = twins()
    clips = step_speed.random_batch(recipe(), {JOINT: 2}, CPU).views[JOINT][0]
    ours.train(training)
    plain.train(training)
    with torch.no_grad():
        expected = torch.cat([plain(part) for part in clips.chunk(2)])
        apart = expected - expected.mean(dim=0)
        assert apart.abs().max() > 1e-5
        assert (ours.embed(clips) - expected).abs().max() < 0.01 * apart.abs().max()
    for name, value in renamed(ours.state_dict()).items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradients_are_equal_for_every_weight() -> None:
    """In float64: ten BatchNorms amplify the last digit."""
    ours, plain = (network.double() for network in twins())
    clips = step_speed.random_batch(recipe(), {JOINT: 2}, CPU).views[JOINT][0].double()
    direction = torch.randn(len(clips), 256, generator=torch.Generator().manual_seed(2))
    encoder = ours.encoder
    (encoder.pool(encoder.partial_forward(clips, 0, encoder.depth)) * direction).sum().backward()
    (plain.pooled(clips) * direction).sum().backward()
    found = dict(plain.named_parameters())
    sizes = []
    for name, parameter in encoder.named_parameters():
        expected = found[theirs(name)].grad
        sizes.append(float(expected.norm()))
        assert float((parameter.grad - expected).norm()) < 1e-4 * sizes[-1] + 1e-6, name
    assert max(sizes) > 1


@pytest.mark.slow
def test_a_step_from_the_same_start_has_the_same_loss_and_leaves_the_same_weights(monkeypatch) -> None:
    small, (ours, plain) = recipe(), twins()
    batch, learner = step_speed.random_batch(small, {JOINT: 2}, CPU), step_speed.full_learner(small, JOINT, CPU)
    moco = step_speed.plain_moco(small, PlainSTGCN(dropout=0.0), CPU)
    for network, twin in ((learner.query, moco.query), (learner.key, moco.key)):
        network.load_state_dict(ours.state_dict())
        twin.load_state_dict(plain.state_dict())
    moco.queue.copy_(learner.queue.rows)
    step = wiring.build_step(small, wiring.build_stage(small, config.PretrainStage(JOINT)), learner, {}, CPU)
    monkeypatch.setattr(torch, "randperm", lambda size, device: torch.arange(size, device=device))
    expected = moco.step(*batch.views[JOINT])
    assert float(step(batch, InOrder(np.random.PCG64(0))).loss) == pytest.approx(expected, rel=1e-3)
    for mine, twin, start in ((learner.query, moco.query, plain), (learner.key, moco.key, plain)):
        found, before = renamed(mine.state_dict()), start.state_dict()
        for name, value in twin.state_dict().items():
            moved = (value - before[name]).float().norm()
            assert float((found[name] - value).float().norm()) <= 0.03 * float(moved) + 1e-4, name
    torch.testing.assert_close(learner.queue.rows[:4], moco.queue[:4], rtol=1e-3, atol=1e-4)


class InOrder(np.random.Generator):
    """Does not shuffle the keys; the test stops the plain step from shuffling them too."""

    def permutation(self, size):
        return np.arange(size)


def test_both_persons_are_there_in_every_clip_of_the_benchmark() -> None:
    """Vimix skips absent persons and the plain step does not, so an absent person would flatter vimix."""
    for clips in step_speed.random_batch(recipe(), {JOINT: 2}, CPU).views[JOINT]:
        assert clips.shape == (TINY.skeletons, 3, 50, 25, 2)
        assert bool(clips.flatten(1, 3).any(dim=1).all())
