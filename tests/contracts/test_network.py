"""What every network must do, the fake and the real ones alike."""

from functools import partial

import numpy as np
import pytest
import torch

import vimix
from tests.fakes.network import FakeNetwork
from tests.fakes.skeletons import chain
from vimix.ports.network import Network
from vimix_adapters.config.encoder_settings import ENCODERS, ModalitySettings, Stgcn
from vimix_adapters.encoders.chain import encoder_of
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork

CPU = Compute(torch.device("cpu"))


def fake(groups: int) -> Network:
    return FakeNetwork(groups=groups)


def built(name: str, groups: int) -> Network:
    """An encoder of the registry, made small. The clips of this suite are 32 joints of 32 persons to a graph."""
    width = 0.0625 if "width" in ENCODERS[name].settings else 1.0
    stgcn = Stgcn(hidden_channels=4, feature_size=8, dropout=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = encoder_of(ModalitySettings(encoder=name, width=width, stgcn=stgcn), chain(32))
        return ContrastiveNetwork(encoder, embedding=5, groups=groups, compute=CPU)


@pytest.fixture(params=["fake", *ENCODERS])
def name(request):
    return request.param


@pytest.fixture
def build(name):
    return fake if name == "fake" else partial(built, name)


def clips(batch: int = 4) -> torch.Tensor:
    return torch.randn(batch, 3, 8, 32, 32, generator=torch.Generator().manual_seed(7))


def buffers(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items() if "running" in name}


def unchanged(before: dict[str, torch.Tensor], network: Network) -> bool:
    return all(torch.equal(value, network.state_dict()[name]) for name, value in before.items())


def test_embeddings_are_unit_rows_in_float32(build) -> None:
    z = build(1).embed(clips())
    assert z.shape == (4, 5)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.norm(dim=1), torch.ones(4))


@pytest.mark.slow
def test_mixing_that_changes_nothing_changes_nothing_at_any_layer(build) -> None:
    network = build(2)
    expected = network.embed(clips())
    for layer in range(network.depth + 1):
        plan = vimix.MixPlan.unmixed(4)
        z, returned = network.embed_mixed(clips(), layer, lambda g, plan=plan: (g, plan))
        torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-5)
        assert returned is plan


@pytest.mark.slow
def test_the_hidden_map_is_what_the_mixer_is_given_by_a_network_in_evaluation(build) -> None:
    """``hidden`` ignores the batch: rows computed alone equal rows computed together, and no statistic moves."""
    network = build(1)
    before = buffers(network)
    for layer in range(network.depth):
        together = network.hidden(clips(), layer)
        alone = torch.cat([network.hidden(row[None], layer) for row in clips()])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert not together.requires_grad
        assert together.ndim == 5
    assert unchanged(before, network)


@pytest.mark.slow
def test_one_pass_gives_the_hidden_map_and_the_embedding_of_a_network_in_evaluation(build) -> None:
    network = build(2)
    before = buffers(network)
    for layer in (0, 1, network.depth - 1):
        hidden, embedded = network.hidden_and_embedding(clips(), layer)
        torch.testing.assert_close(hidden, network.hidden(clips(), layer), rtol=1e-4, atol=1e-5)
        alone = torch.cat([network.hidden_and_embedding(row[None], layer)[1] for row in clips()])
        torch.testing.assert_close(embedded, alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(embedded.norm(dim=1), torch.ones(4))
        assert not embedded.requires_grad
    assert unchanged(before, network)


def test_features_ignore_the_batch_and_move_no_statistic(build) -> None:
    network = build(2)
    before = buffers(network)
    together = network.features(clips())
    torch.testing.assert_close(together[1:2], network.features(clips()[1:2]), rtol=1e-4, atol=1e-5)
    assert together.dtype == torch.float32
    assert unchanged(before, network)


def test_keys_come_back_in_the_order_of_their_clips(build) -> None:
    """With one group the permutation cannot matter at all."""
    network = build(1)
    identity = network.keys(clips(), torch.arange(4))
    shuffled = network.keys(clips(), torch.tensor([2, 0, 3, 1]))
    torch.testing.assert_close(shuffled, identity, rtol=0, atol=5e-3)  # sums over the batch in another order
    assert not identity.requires_grad


def test_groups_are_normalised_apart_so_that_a_leak_shows(build) -> None:
    """The leakage probe: a change of one clip is seen by its own group only, and the shuffle decides which that is."""
    network = build(2)
    changed = clips().clone()
    changed[0] += 3.0

    def affected(shuffle: list[int]) -> list[bool]:
        order = torch.tensor(shuffle)
        difference = (network.keys(clips(), order) - network.keys(changed, order)).abs().amax(dim=1)
        return [bool(value > 1e-6) for value in difference]

    assert affected([0, 1, 2, 3]) == [True, True, False, False]
    assert affected([0, 2, 1, 3]) == [True, False, True, False]


def test_keys_are_computed_with_batch_statistics_and_update_the_key_encoders_own(build) -> None:
    network = build(1)
    before = buffers(network)
    network.keys(clips(), torch.arange(4))
    assert not unchanged(before, network)


def test_state_moves_to_another_network_and_makes_it_the_same(build) -> None:
    one, other = build(1), build(1)
    for parameter in one.parameters():
        parameter.data.add_(0.1)
    assert not np.allclose(one.features(clips()), other.features(clips()))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.features(clips()), other.features(clips()))


def test_only_maps_of_pictures_are_planar(name, build) -> None:
    assert build(1).planar is (name == "fake" or ENCODERS[name].maps == "planes")
