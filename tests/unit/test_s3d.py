"""S3D is torchvision's, in stages."""

import itertools

import pytest
import torch
from torchvision.models.video import s3d

import vimix
from vimix_adapters.config import ModalitySettings
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork, TorchOptimiser
from vimix_adapters.encoders.s3d import S3DEncoder, build_s3d

SMALL = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))


def test_at_full_width_the_weights_are_torchvisions_there_and_back() -> None:
    ours, theirs = S3DEncoder(stages="modules"), s3d()
    theirs.features.load_state_dict(ours.features.state_dict())
    ours.features.load_state_dict(theirs.features.state_dict())
    ours.eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.eps = 1e-5
    theirs.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours.partial_forward(SMALL, 0, 16), theirs.features(SMALL))
    assert ours.depth == 16
    assert ours.feature_size == 1024


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.0625, 0.25, 0.3])
@pytest.mark.parametrize("channels", [2, 3])
def test_a_narrow_network_is_the_same_chain_with_fewer_channels(width, channels) -> None:
    encoder = S3DEncoder(channels=channels, width=width, stages="modules")
    last = encoder.partial_forward(torch.randn(2, channels, 8, 32, 32), 0, encoder.depth)
    assert encoder.depth == 16
    assert last.shape[1] == encoder.feature_size == encoder.pool(last).shape[1]
    kinds = zip(encoder.features, s3d().features, strict=True)
    assert all(isinstance(ours, type(theirs)) for ours, theirs in kinds)


@pytest.mark.parametrize("width", [0.1, 0.4, 0.55, 0.6, 0.9])
def test_each_block_takes_as_many_channels_as_the_one_before_gives_at_any_width(width) -> None:
    """At these widths sums of four rounded widths differ between blocks whose outputs are equal at width 1."""
    with torch.device("meta"):
        encoder = S3DEncoder(width=width)
        assert encoder.partial_forward(torch.empty(2, 3, 8, 32, 32), 0, 5).shape[1] == encoder.feature_size


def test_flow_has_two_channels_and_all_other_weights_in_place() -> None:
    shapes = {name: value.shape for name, value in S3DEncoder(channels=2).features.state_dict().items()}
    theirs = {name: value.shape for name, value in s3d().features.state_dict().items()}
    different = {name for name in theirs if shapes[name] != theirs[name]}
    assert shapes.keys() == theirs.keys()
    assert different == {"0.0.0.weight"}


@pytest.mark.slow
def test_the_blocks_are_coclrs_and_the_weights_do_not_depend_on_the_cuts() -> None:
    """CoCLR's backbone/s3dg.py: block1 is the first convolution; each further block begins with a pooling."""
    encoder = S3DEncoder().to("meta")
    clip = torch.empty(1, 3, 32, 128, 128, device="meta")
    shapes = [tuple(encoder.partial_forward(clip, 0, k).shape[1:]) for k in range(1, 6)]
    assert shapes == [(64, 16, 64, 64), (192, 16, 32, 32), (480, 16, 16, 16), (832, 8, 8, 8), (1024, 4, 4, 4)]
    blocks, modules = S3DEncoder(width=0.0625), S3DEncoder(width=0.0625, stages="modules")
    modules.load_state_dict(blocks.state_dict())
    assert (blocks.depth, modules.depth) == (5, 16)
    blocks.eval(), modules.eval()
    with torch.no_grad():
        for block, module in enumerate((1, 4, 7, 13, 16), start=1):
            assert torch.equal(blocks.partial_forward(SMALL, 0, block), modules.partial_forward(SMALL, 0, module))


@pytest.mark.parametrize("stages", ["blocks", "modules"])
def test_partial_forward_obeys_its_laws(stages) -> None:
    encoder = S3DEncoder(width=0.0625, stages=stages).eval()
    depth = encoder.depth
    assert encoder.partial_forward(SMALL, 3, 3) is SMALL
    with torch.no_grad():
        whole = encoder.partial_forward(SMALL, 0, depth)
        for cut in range(depth + 1):
            below = encoder.partial_forward(SMALL, 0, cut)
            assert torch.equal(encoder.partial_forward(below, cut, depth), whole)
    for start, stop in ((-1, 3), (3, 2), (0, depth + 1)):
        with pytest.raises(ValueError, match=f"not within 0 to {depth}"):
            encoder.partial_forward(SMALL, start, stop)


def test_deeper_maps_are_never_larger_in_time_and_space() -> None:
    """What makes a donor at l >= k fit (section 4)."""
    encoder = S3DEncoder(width=0.0625, stages="modules").eval()
    with torch.no_grad():
        shapes = [encoder.partial_forward(SMALL, 0, k).shape[2:] for k in range(1, 17)]
    for earlier, later in itertools.pairwise(shapes):
        assert all(b <= a for a, b in zip(earlier, later, strict=True))


@pytest.mark.slow
def test_bf16_features_stay_near_float32_ones_and_are_float32() -> None:
    """In evaluation mode: two clips alone, normalised by their own statistics, would amplify any rounding."""
    clips = torch.randn(8, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        full = ContrastiveNetwork(S3DEncoder(width=0.125), 16, 1, Compute(torch.device("cpu")))
    with torch.no_grad():
        for _ in range(30):
            full.embed(clips)
    half = ContrastiveNetwork(S3DEncoder(width=0.125), 16, 1, Compute(torch.device("cpu"), torch.bfloat16))
    half.load_state_dict(full.state_dict())
    assert half.features(clips).dtype == half.embed(clips).dtype == torch.float32
    assert half.hidden(clips, 3).dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(full.features(clips), half.features(clips)).min() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("frames", [8, 16])
def test_bf16_gradients_are_those_of_float32_where_clips_are_shorter_than_kernels(frames) -> None:
    """A regression: the weight gradient of a bf16 convolution over two frames was made of uninitialised memory."""
    clips = torch.randn(8, 3, frames, 32, 32, generator=torch.Generator().manual_seed(0))
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = S3DEncoder(width=0.25, stages="modules")
            below = torch.randn(8, 132, frames // 4, 2, 2)
        with Compute(torch.device("cpu"), dtype).autocast():
            encoder.pool(encoder.partial_forward(below, 12, 16))[:, :8].square().sum().backward()
        stage = encoder.features[15]
        gradients.append(torch.cat([p.grad.flatten() for p in stage.parameters()]))
    assert clips.shape[2] == frames
    one, two = gradients
    assert torch.isfinite(two).all()
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.95


def test_an_indivisible_batch_is_refused() -> None:
    network = ContrastiveNetwork(S3DEncoder(width=0.0625), 16, 2, Compute(torch.device("cpu")))
    with pytest.raises(ValueError, match="a batch of 3 does not divide into 2 BatchNorm groups"):
        network.embed(torch.randn(3, 3, 8, 32, 32))


@pytest.mark.slow
def test_a_restored_optimiser_takes_the_same_next_step() -> None:
    networks = [ContrastiveNetwork(S3DEncoder(width=0.0625), 8, 1, Compute(torch.device("cpu"))) for _ in range(2)]
    optimisers = [TorchOptimiser(torch.optim.Adam(network.parameters())) for network in networks]
    optimisers[0].step(networks[0].embed(SMALL)[:, 0].sum())
    networks[1].load_state_dict(networks[0].state_dict())
    optimisers[1].load_state_dict(optimisers[0].state_dict())
    for network, optimiser in zip(networks, optimisers, strict=True):
        optimiser.set_learning_rate(0.01)
        optimiser.step(network.embed(SMALL)[:, 0].sum())
    for one, two in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(one, two)


def test_public_names_load_without_the_rest() -> None:
    assert set(vimix.__all__) == set(dir(vimix))
    assert vimix.CrossModalCutMix().dims == "cthw"


def test_normal_initial_weights_are_those_of_coclr() -> None:
    """CoCLR's backbone/s3dg.py: convolutions from N(0, 0.01²), BatchNorm 1 and 0. Torch's default is wider."""
    deviation = {}
    for init in ("torch", "normal"):
        torch.manual_seed(0)
        encoder = build_s3d(ModalitySettings(width=0.25, init=init))
        weights = [layer.weight.flatten() for layer in encoder.modules() if isinstance(layer, torch.nn.Conv3d)]
        deviation[init] = [float(weight.detach().std()) for weight in weights if len(weight) > 2000]
        norms = [layer for layer in encoder.modules() if isinstance(layer, torch.nn.BatchNorm3d)]
        assert all(bool((norm.weight == 1).all() and (norm.bias == 0).all()) for norm in norms)
    assert deviation["normal"] == pytest.approx([0.01] * len(deviation["normal"]), rel=0.1)
    assert min(deviation["torch"]) > 0.012
