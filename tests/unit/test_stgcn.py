"""ST-GCN against a naive version that visits one joint after the other."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import vimix
from tests.fakes.skeletons import FIVE, chain
from vimix_adapters.config.encoder_settings import ModalitySettings, Stgcn
from vimix_adapters.encoders.chain import encoder_of
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork
from vimix_adapters.encoders.graph import spatial_partition
from vimix_adapters.encoders.stgcn import Block, Dropout, GraphConvolution, Projection, STGCNEncoder, person_rows
from vimix_adapters.skeletons.layouts import find_layout


def small(persons="present", seed=0, **changes) -> STGCNEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = STGCNEncoder(
            FIVE, **{"hidden_channels": 2, "feature_size": 3, "dropout": 0.0, **changes}, persons=persons
        )
        for module in encoder.modules():  # statistics and importances as after some training
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(std=0.05)
                module.running_var.uniform_(0.01, 0.05)
            if isinstance(module, GraphConvolution):
                module.importance.data.uniform_(0.5, 1.5)
                module.weigh.bias.data.normal_(std=0.1)
    return encoder.eval()


def skeletons(batch=3, frames=9, seed=0) -> torch.Tensor:
    return torch.randn(batch, 3, frames, 5, 2, generator=torch.Generator().manual_seed(seed))


def normed(x: np.ndarray, norm: nn.Module, channel: int) -> np.ndarray:
    mean, variance = norm.running_mean[channel].item(), norm.running_var[channel].item()
    return (x - mean) / np.sqrt(variance + norm.eps) * norm.weight[channel].item() + norm.bias[channel].item()


def naive_block(x: np.ndarray, block: Block) -> np.ndarray:
    """One person [C, T, V], joint by joint, frame by frame."""
    conv, space = block.time[2], block.space
    edges = (space.adjacency * space.importance).detach().numpy()
    weight, bias = space.weigh.weight.detach().numpy()[:, :, 0, 0], space.weigh.bias.detach().numpy()
    outgoing, (_, frames, joints) = conv.out_channels, x.shape
    gathered = np.zeros((outgoing, frames, joints))
    for t, w in itertools.product(range(frames), range(joints)):
        for k, v in itertools.product(range(3), range(joints)):
            rows = slice(k * outgoing, (k + 1) * outgoing)
            gathered[:, t, w] += edges[k, v, w] * (weight[rows] @ x[:, t, v] + bias[rows])
    for c in range(outgoing):
        gathered[c] = np.maximum(normed(gathered[c], block.time[0], c), 0)
    stride, kernel = conv.stride[0], conv.weight.detach().numpy()[..., 0]
    result = np.zeros((outgoing, -(-frames // stride), joints))
    for t, w in itertools.product(range(result.shape[1]), range(joints)):
        result[:, t, w] = conv.bias.detach().numpy()
        for reach in range(9):
            if 0 <= (source := t * stride + reach - 4) < frames:
                result[:, t, w] += kernel[:, :, reach] @ gathered[:, source, w]
    for c in range(outgoing):
        result[c] = normed(result[c], block.time[3], c)
        if isinstance(block.shortcut, nn.Sequential):
            projection, norm = block.shortcut
            passed = np.tensordot(projection.weight.detach().numpy()[c, :, 0, 0], x[:, ::stride], 1)
            result[c] += normed(passed + projection.bias[c].item(), norm, c)
        elif block.shortcut is not None:
            result[c] += x[c]
    return np.maximum(result, 0)


def test_the_encoder_is_the_naive_one_joint_by_joint() -> None:
    encoder, clips = small(), skeletons()
    with torch.no_grad():
        found = encoder.partial_forward(clips, 0, 10)
    norm, first = encoder.features[0][0].norm, encoder.features[0][1]
    for sample, person in itertools.product(range(3), range(2)):
        x = clips[sample, ..., person].double().numpy()
        for v, c in itertools.product(range(5), range(3)):
            x[c, :, v] = normed(x[c, :, v], norm, v * 3 + c)
        for block in (first, *encoder.features[1:]):
            x = naive_block(x, block)
        np.testing.assert_allclose(found[sample, ..., person].numpy(), x, rtol=1e-3, atol=1e-3 * x.max())
    assert found.std() > 0.01


@pytest.mark.parametrize("persons", ["present", "all"])
def test_features_in_float64_keep_their_digits(persons) -> None:
    """Gradients are checked in float64: a step of 1e-6 would be lost in float32."""
    encoder = small(persons).double()
    clips = skeletons(batch=2, frames=4).double().requires_grad_()

    def features(x: torch.Tensor) -> torch.Tensor:
        return encoder.pool(encoder.partial_forward(x, 0, encoder.depth))

    assert features(clips).dtype == torch.float64
    assert torch.autograd.gradcheck(features, clips, fast_mode=True)
    assert small(persons).pool(encoder.partial_forward(clips, 0, 1).half()).dtype == torch.float32


@pytest.mark.parametrize("layout", [FIVE, chain(4), find_layout("ntu")], ids=lambda layout: layout.name)
def test_each_joint_gathers_one_in_all_from_itself_and_its_neighbours(layout) -> None:
    shares = spatial_partition(layout)
    parents = dict(layout.edges)

    def steps(joint: int) -> int:
        """To the centre, which is the root of these layouts."""
        return 0 if joint == layout.centre else 1 + steps(parents[joint])

    np.testing.assert_allclose(shares.sum(axis=(0, 1)), 1, rtol=1e-6)
    for v, w in itertools.product(range(len(layout.joints)), repeat=2):
        joined = (v, w) in layout.edges or (w, v) in layout.edges
        degree = 1 + sum(w in edge for edge in layout.edges)
        expected = [v == w, joined and steps(v) > steps(w), joined and steps(v) < steps(w)]
        np.testing.assert_allclose(shares[:, v, w], np.array(expected) / degree, rtol=1e-6)


@pytest.mark.parametrize("outgoing", [2, 12])
def test_gathering_before_weighing_is_the_same_sum(outgoing) -> None:
    """Joints are gathered first, subsets weighed together; here it is the other way round, as the docstring has it."""
    layer = GraphConvolution(4, outgoing, torch.from_numpy(spatial_partition(FIVE)))
    layer.importance.data.uniform_(0.5, 1.5)
    x = torch.randn(2, 4, 3, 5)
    weight, bias = layer.weigh.weight.view(3, outgoing, 4), layer.weigh.bias.view(3, outgoing)
    weighed = torch.einsum("koc,nctv->nkotv", weight, x) + bias[..., None, None]
    expected = torch.einsum("nkotv,kvw->notw", weighed, layer.adjacency * layer.importance)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_the_paper_s_sizes() -> None:
    encoder = STGCNEncoder(find_layout("ntu")).eval()
    clips = torch.randn(1, 3, 50, 25, 2)
    with torch.no_grad():
        shapes = [tuple(encoder.partial_forward(clips, 0, k).shape) for k in range(1, 11)]
    channels, times = [16] * 4 + [32] * 3 + [64] * 2 + [256], [50] * 4 + [25] * 3 + [13] * 3
    assert shapes == [(1, c, t, 25, 2) for c, t in zip(channels, times, strict=True)]
    assert (encoder.depth, encoder.feature_size, encoder.planar) == (10, 256, False)
    dropouts = [module.p for module in encoder.modules() if isinstance(module, nn.Dropout)]
    assert dropouts == [0.0] + [0.5] * 9


def test_partial_forward_obeys_its_laws_with_a_person_missing() -> None:
    encoder, clips = small(), skeletons()
    clips[1, ..., 1] = 0
    assert encoder.partial_forward(clips, 4, 4) is clips
    with torch.no_grad():
        whole = encoder.partial_forward(clips, 0, 10)
        for cut in range(11):
            below = encoder.partial_forward(clips, 0, cut)
            assert torch.equal(encoder.partial_forward(below, cut, 10), whole)
    with pytest.raises(ValueError, match="not within 0 to 10"):
        encoder.partial_forward(clips, 3, 11)


def test_a_person_who_is_not_there_changes_nothing() -> None:
    """Neither the feature nor, in training, the statistics: alone, or beside a second body of zeros."""
    clips = skeletons()[..., :1]
    beside = torch.cat([clips, torch.zeros_like(clips)], dim=-1)
    alone, together = small(), small()
    features = []
    for encoder, x in ((alone, clips), (together, beside)):
        encoder.train()
        features.append(encoder.pool(encoder.partial_forward(x, 0, 10)))
    torch.testing.assert_close(*features)
    for one, two in zip(alone.buffers(), together.buffers(), strict=True):
        torch.testing.assert_close(one, two)
    assert not together.partial_forward(beside, 0, 3)[..., 1].any()


def test_with_all_persons_the_mean_is_over_the_zeros_too() -> None:
    """The peers' rule: the answer to a body of zeros is averaged in."""
    encoder, clips = small(persons="all"), skeletons()
    clips[0, ..., 1] = 0
    with torch.no_grad():
        feature = encoder.pool(encoder.partial_forward(clips, 0, 10))[0]
        persons = [encoder.pool(encoder.partial_forward(clips[:1, ..., m : m + 1], 0, 10))[0] for m in range(2)]
        torch.testing.assert_close(feature, (persons[0] + persons[1]) / 2)
        assert persons[1].any()
        present = small(persons="present")
        torch.testing.assert_close(present.pool(present.partial_forward(clips, 0, 10))[0], persons[0])


def test_persons_are_no_order() -> None:
    encoder, clips = small(), skeletons()
    with torch.no_grad():
        one, other = (encoder.pool(encoder.partial_forward(x, 0, 10)) for x in (clips, clips.flip(-1)))
    torch.testing.assert_close(one, other)


def test_maps_are_cut_over_joints_time_and_channels_with_both_persons_together() -> None:
    encoder, clips = small(), skeletons(batch=8)
    with torch.no_grad():
        g1, g2 = encoder.partial_forward(clips, 0, 2), encoder.partial_forward(clips, 0, 9)
    rng, policy = np.random.default_rng(0), vimix.CrossModalCutMix(dims="cthw")
    grids = [vimix.Grid.of(g.shape, planar=encoder.planar) for g in (g1, g2)]
    plan = policy.plan(batch=8, grid=grids[0], donor=grids[1], rng=rng)
    assert set(plan.cut.extent[plan.weight < 1, 3]) == {2}
    mixed = vimix.blend(g1, g2, plan)
    share = (mixed != g1).float().mean(dim=(1, 2, 3, 4)).numpy()
    assert ((1 - plan.weight) >= share - 1e-6).all()
    assert mixed.shape == g1.shape


def test_gradients_reach_every_weight_also_where_persons_are_missing() -> None:
    encoder, clips = small().train(), skeletons()
    clips[1:, ..., 1] = 0
    encoder.pool(encoder.partial_forward(clips, 0, 10)).square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in encoder.parameters())
    assert all(p.grad.any() for name, p in encoder.named_parameters() if "importance" in name)


def test_bf16_features_stay_near_float32_ones() -> None:
    clips = skeletons(batch=8, frames=5)
    full, half = (
        ContrastiveNetwork(small(hidden_channels=8, feature_size=16), 5, 2, Compute(torch.device("cpu"), dtype))
        for dtype in (torch.float32, torch.bfloat16)
    )
    half.load_state_dict(full.state_dict())
    assert half.features(clips).dtype == half.embed(clips).dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(full.features(clips), half.features(clips)).min() > 0.99


def test_maps_go_from_stage_to_stage_without_a_copy() -> None:
    encoder = small()
    with torch.no_grad():
        hidden = encoder.partial_forward(skeletons(), 0, 3)
    assert person_rows(hidden).data_ptr() == hidden.data_ptr()
    assert hidden[0, ..., 0].permute(1, 2, 0).is_contiguous()  # channels last


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_leaves_its_share_scaled_and_the_mean_as_it_was(p, dtype) -> None:
    x = torch.ones(7, 30, 50, 25, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = Dropout(p)(x)
        other = Dropout(p)(x)
        torch.manual_seed(0)
        assert torch.equal(Dropout(p)(x), dropped)
    kept = dropped != 0
    assert float(kept.double().mean()) == pytest.approx(1 - p, abs=4 * (p * (1 - p) / x.numel()) ** 0.5)
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 1 / (1 - p)), rtol=1e-2, atol=0)
    both = float((kept & (other != 0)).double().mean())  # a second draw knows nothing of the first
    assert both == pytest.approx((1 - p) ** 2, abs=0.01)
    assert dropped.is_contiguous(memory_format=torch.channels_last)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


def test_dropout_knows_no_neighbours() -> None:
    """Elements that share a 64 bit word, and whole channels, are drawn apart."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        kept = (Dropout(0.5)(torch.ones(400_000)) != 0).double().view(-1, 4)
    expected = torch.full((4, 4), 0.25).fill_diagonal_(0.5).double()
    torch.testing.assert_close(kept.T @ kept / len(kept), expected, rtol=0, atol=0.01)


def test_dropout_is_torch_s_own_where_nothing_is_drawn() -> None:
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x).any()


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_projection_is_a_convolution_with_a_stride(stride) -> None:
    ours, theirs = Projection(5, 7, stride), nn.Conv2d(5, 7, 1, (stride, 1))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 11, 4).contiguous(memory_format=torch.channels_last)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [layer(given) for layer, given in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(*(given.grad for given in inputs))
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


@pytest.mark.slow
def test_narrow_blocks_with_a_stride_do_not_write_beyond_their_memory() -> None:
    """A regression: oneDNN's weight gradient killed the process; so in one of its own."""
    script = """
import torch
from vimix_adapters.encoders.stgcn import Projection
for channels in (2, 4, 8):
    for _ in range(100):
        maps = torch.randn(4, channels, 50, 25).contiguous(memory_format=torch.channels_last).requires_grad_()
        Projection(channels, 2 * channels, 2)(maps).sum().backward()
"""
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    ("name", "channels", "persons"),
    [("coco17", 2, 1), ("coco17", 3, 5), ("openpose18", 3, 2), ("openpose25", 2, 3), ("mediapipe33", 3, 1)],
)
def test_two_or_three_channels_of_any_layout_and_up_to_five_persons_are_embedded(name, channels, persons) -> None:
    layout = find_layout(name)
    settings = ModalitySettings(encoder="stgcn", channels=channels, stgcn=Stgcn(hidden_channels=2, feature_size=3))
    encoder = encoder_of(settings, layout).train()
    clips = torch.randn(2, channels, 9, len(layout.joints), persons, requires_grad=True)
    pooled = encoder.pool(encoder.partial_forward(clips, 0, encoder.depth))
    assert pooled.shape == (2, 3)
    pooled.sum().backward()
    assert all(clips.grad[:, channel].any() for channel in range(channels))
