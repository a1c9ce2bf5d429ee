"""SkeletonCLR's and CrosSCLR's weights become vimix's: names, views, graph, and what goes on from them."""

from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from attrs import evolve
from torch import Tensor, nn

from tests.builders import skeleton_store
from tests.cli import vimix
from tests.recipes import ROOT, shrunk
from tests.unit.test_foreign_weights import imported_features
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.commands.import_weights import import_checkpoint
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.graph import spatial_partition
from vimix_adapters.skeletons.layouts import find_layout

BONES = (  # of net/utils/graph.py, from 1
    *((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11)),
    *((13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 23), (23, 8), (24, 25)),
    (25, 12),
)
CPU = ("--device", "cpu")
CLIPS = torch.randn(2, 3, 50, 25, 2, generator=torch.Generator().manual_seed(0))
"""Of the published length; maps of less than 9 frames vimix computes in float32."""


def their_graph() -> np.ndarray:
    """Strategy 'spatial' with max_hop 1: a distance above one step is infinite."""
    hop = np.full((25, 25), np.inf)
    for a, b in BONES:
        hop[a - 1, b - 1] = hop[b - 1, a - 1] = 1
    np.fill_diagonal(hop, 0)
    graph = np.zeros((3, 25, 25))
    for j in range(25):
        for i in range(25):
            share = 1 / (hop[:, i] <= 1).sum()
            if i == j:
                graph[0, j, i] = share
            elif hop[j, i] == 1:
                graph[1 if hop[j, 20] >= hop[i, 20] else 2, j, i] = share
    return graph


class Gcn(nn.Module):
    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(i, 3 * o, 1)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        parts = self.conv(x).chunk(3, dim=1)
        return sum(torch.matmul(part, edge) for part, edge in zip(parts, edges, strict=True))


class TheirBlock(nn.Module):
    def __init__(self, i: int, o: int, stride: int, first: bool) -> None:
        super().__init__()
        self.gcn = Gcn(i, o)
        time = nn.Conv2d(o, o, (9, 1), (stride, 1), (4, 0))
        self.tcn = nn.Sequential(nn.BatchNorm2d(o), nn.ReLU(), time, nn.BatchNorm2d(o), nn.Dropout(0.5))
        if (i, stride) != (o, 1) and not first:
            self.residual = nn.Sequential(nn.Conv2d(i, o, 1, (stride, 1)), nn.BatchNorm2d(o))
        self.first = first

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        past = 0 if self.first else self.residual(x) if hasattr(self, "residual") else x
        return torch.relu(self.tcn(self.gcn(x, edges)) + past)


class TheirStgcn(nn.Module):
    """ST-GCN with the names of CrosSCLR's net/st_gcn.py and SkeletonCLR's head."""

    def __init__(self, seed: int = 0, hidden: int = 4, feature: int = 12, joints: int = 25) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.register_buffer("A", torch.tensor(their_graph()[:, :joints, :joints], dtype=torch.float32))
            self.data_bn = nn.BatchNorm1d(3 * joints)
            widths = [3, *[hidden] * 4, *[2 * hidden] * 3, *[4 * hidden] * 2, feature]
            strides = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
            self.st_gcn_networks = nn.ModuleList(
                TheirBlock(widths[n], widths[n + 1], strides[n], n == 0) for n in range(10)
            )
            self.fc = nn.Sequential(nn.Linear(feature, feature), nn.ReLU(), nn.Linear(feature, 8))
            self.edge_importance = nn.ParameterList(torch.rand(3, joints, joints) + 0.5 for _ in range(10))
            for layer in self.modules():
                if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                    for values in (layer.weight, layer.running_var):
                        values.data.uniform_(0.5, 1.5)
                    for values in (layer.bias, layer.running_mean):
                        values.data.normal_(std=0.3)

    def feature(self, x: Tensor) -> Tensor:
        people = []
        for person in x.unbind(dim=4):
            rows = person.permute(0, 3, 1, 2).flatten(1, 2)
            maps = self.data_bn(rows).unflatten(1, (25, 3)).permute(0, 2, 3, 1)
            for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
                maps = block(maps, self.A * importance)
            people.append(maps.mean(dim=(2, 3)))
        return torch.stack(people).mean(dim=0)


def under(**encoders: nn.Module) -> dict[str, Tensor]:
    """A state dict as their trainer saves it."""
    state = {f"{name}.{key}": value for name, module in encoders.items() for key, value in module.state_dict().items()}
    return {**state, "queue": torch.zeros(8, 16), "queue_ptr": torch.zeros(1)}


@torch.no_grad()
def their_features(network: TheirStgcn) -> Tensor:
    return network.eval().double().feature(CLIPS.double())


def test_their_graph_counts_one_step_and_vimix_has_it_too() -> None:
    one, whole = (spatial_partition(find_layout("ntu"), hops) for hops in ("one", "all"))
    np.testing.assert_allclose(one, their_graph(), rtol=1e-6)
    assert (one != whole).any()
    np.testing.assert_allclose(one.sum(axis=0), whole.sum(axis=0))


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("layout", ["auto", "crosclr"])
def test_skeletonclr_weights_give_the_features_that_its_network_gives(layout, tmp_path, capsys) -> None:
    network = TheirStgcn()
    torch.save(under(encoder_q=network, encoder_k=TheirStgcn(1)), tmp_path / "epoch300_model.pt")
    report = import_checkpoint(tmp_path / "epoch300_model.pt", "joint", tmp_path / "out", layout)
    assert (report.layout, report.match.prefix) == ("crosclr", "encoder_q.")
    assert (report.match.share, report.match.missing, report.match.unexpected) == (1.0, (), ())
    assert report.match.dropped["encoder_q"] == 5, "A and the head"
    found = imported_features(tmp_path / "out", CLIPS)
    torch.testing.assert_close(found, their_features(network), rtol=1e-6, atol=1e-7)
    told = capsys.readouterr().err
    assert "identical to that of the file" in told
    assert 'hidden_channels = 4, feature_size = 12, persons = "all", hops = "one"' in told


@pytest.mark.slow
@torch.no_grad()
def test_a_checkpoint_counts_persons_and_hops_as_it_was_trained_whatever_another_recipe_says(tmp_path) -> None:
    """No tensor shows the two settings: with the recipe's the features would differ, and nothing would say so."""
    network = TheirStgcn()
    torch.save(under(encoder_q=network), tmp_path / "w.pt")
    import_checkpoint(tmp_path / "w.pt", "joint", tmp_path / "out", "auto")
    checkpoint = load_checkpoint(tmp_path / "out")
    own = config.recipe_from_toml(checkpoint.recipe, "it")
    other = config.Stgcn(hidden_channels=4, feature_size=12, persons="present", hops="all")
    recipe = evolve(own, modalities={"joint": evolve(own.modalities["joint"], stgcn=other)})
    network_of_recipe = wiring.build_trained(recipe, checkpoint, Compute(torch.device("cpu"))).encoder.eval().double()
    found = network_of_recipe.pool(network_of_recipe.partial_forward(CLIPS.double(), 0, network_of_recipe.depth))
    torch.testing.assert_close(found, their_features(network), rtol=1e-6, atol=1e-7, check_dtype=False)


@pytest.mark.slow
@torch.no_grad()
def test_each_modality_takes_its_own_encoder_of_three_even_from_a_wrapper(tmp_path) -> None:
    words = {"joint": "encoder_q", "motion": "encoder_q_motion", "bone": "encoder_q_bone"}
    networks = {word: TheirStgcn(seed) for seed, word in enumerate(words.values())}
    keys = {word.replace("_q", "_k"): TheirStgcn(9) for word in networks}
    torch.save({f"module.{k}": v for k, v in under(**networks, **keys).items()}, tmp_path / "three.pt")
    for modality, word in words.items():
        report = import_checkpoint(tmp_path / "three.pt", modality, tmp_path / modality)
        assert report.match.prefix == f"module.{word}."
        torch.testing.assert_close(
            imported_features(tmp_path / modality, CLIPS), their_features(networks[word]), rtol=1e-6, atol=1e-7
        )


def test_skeletonclr_trained_on_motion_has_one_encoder_which_is_taken(tmp_path) -> None:
    torch.save(under(encoder_q=TheirStgcn()), tmp_path / "motion.pt")
    assert import_checkpoint(tmp_path / "motion.pt", "motion", tmp_path / "out").match.prefix == "encoder_q."


def test_an_own_encoder_with_a_gap_is_told_and_not_replaced_by_another_modalitys(tmp_path) -> None:
    state = under(encoder_q=TheirStgcn(), encoder_q_motion=TheirStgcn(1))
    del state["encoder_q_motion.edge_importance.3"]
    state["encoder_q_motion.attention.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "two.pt")
    match = import_checkpoint(tmp_path / "two.pt", "motion", tmp_path / "out").match
    assert match.prefix == "encoder_q_motion."
    assert match.missing == ("features.3.space.importance",)
    assert match.unexpected == ("encoder_q_motion.attention.weight",)


@pytest.mark.slow
def test_another_graph_is_told_and_recorded(tmp_path, capsys) -> None:
    network = TheirStgcn()
    network.A[1, 0, 1] += 0.5
    torch.save(under(encoder_q=network), tmp_path / "w.pt")
    import_checkpoint(tmp_path / "w.pt", "bone", tmp_path / "out")
    assert "1 entries differ from the file's" in capsys.readouterr().err
    assert "1 entries differ from the file's" in str(load_checkpoint(tmp_path / "out").about["graph"])


def wider(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Blocks 5 to 7 of another width than ST-GCN's."""
    other = under(encoder_q=TheirStgcn(hidden=5))
    return {name: other[name] if ".4." in name or ".5." in name else value for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "modality", "told"),
    [
        (wider(under(encoder_q=TheirStgcn())), "joint", "below 95 %"),
        (under(encoder_q=TheirStgcn(joints=20)), "joint", "its input has 60 numbers a frame, expected 75"),
        (under(encoder_q=TheirStgcn()), "rgb", "one of joint, motion, bone"),
        (under(encoder_q=TheirStgcn(), encoder_q_motion=TheirStgcn()), "bone", "found those of joint and motion"),
        ({**under(encoder_q=TheirStgcn()), "encoder_q.A": torch.zeros(1, 25, 25)}, "joint", "strategy 'spatial'"),
    ],
)
def test_what_does_not_fit_is_one_line(state, modality, told, tmp_path, capsys) -> None:
    torch.save(state, tmp_path / "w.pt")
    command = ["import", tmp_path / "w.pt", "--modality", modality, "--layout", "crosclr", "--out", tmp_path / "out"]
    assert vimix(*command) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "w.pt" in error
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of skeletons, a recipe of the published size, and three imported checkpoints."""
    folder = tmp_path_factory.mktemp("crosclr")
    skeleton_store(folder, 8, tests=4)
    table = shrunk(ROOT / "experiments/demo-skeleton.toml")
    table["data"]["store"] = str(folder / "s.h5")
    for modality in table["modalities"].values():
        modality["stgcn"] = {"hidden_channels": 16, "feature_size": 256, "persons": "all", "hops": "one"}
    for kind in ("pretrain", "cmmc"):
        table[kind].update(epochs=1, milestones=[])
    table["optim"]["batch"] = 4
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    words = ("encoder_q", "encoder_q_motion")
    torch.save(under(**{word: TheirStgcn(3, hidden=16, feature=256) for word in words}), folder / "weights.pt")
    for modality in ("joint", "motion"):
        command = ["import", folder / "weights.pt", "--modality", modality, "--layout", "crosclr"]
        assert vimix(*command, "--out", folder / modality) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "evaluate retrieval {0}/recipe.toml {0}/joint --out {0}/r.json",
        "pretrain {0}/recipe.toml --modality joint --init {0}/joint --out {0}/p",
        "cmmc-stage {0}/recipe.toml --train joint --partner motion --init {0}/joint --partner-init {0}/motion "
        "--out {0}/c",
    ],
)
def test_evaluation_and_both_kinds_of_training_go_on_from_it(command, place) -> None:
    assert vimix(*command.format(place).split(), *CPU) == 0


@pytest.mark.slow
def test_a_recipe_of_another_size_refuses_it(place, capsys) -> None:
    command = ["evaluate", "retrieval", place / "recipe.toml", place / "joint", "--out", place / "x.json", *CPU]
    assert vimix(*command, "--set", "modalities.joint.stgcn.feature_size=128") == 2
    assert "does not fit the recipe" in capsys.readouterr().err
