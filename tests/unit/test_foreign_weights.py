"""Weights of others become vimix's: names, prefixes, shapes, BatchNorm, and files that hold code."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.video import s3d

from tests.cli import vimix
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.checkpoints.weight_formats import LAYOUTS, with_epsilon
from vimix_adapters.checkpoints.weight_matching import match_weights
from vimix_adapters.commands.import_weights import import_checkpoint
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.s3d import S3DEncoder

CLIPS = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
TABLE = {  # the paper's table of S3D (and so CoCLR's): 1x1 | 1x1, 3x3x3 | 1x1, 3x3x3 | pool, 1x1
    "3b": (192, 64, 96, 128, 16, 32, 32),
    "3c": (256, 128, 128, 192, 32, 96, 64),
    "4b": (480, 192, 96, 208, 16, 48, 64),
    "4c": (512, 160, 112, 224, 24, 64, 64),
    "4d": (512, 128, 128, 256, 24, 64, 64),
    "4e": (512, 112, 144, 288, 32, 64, 64),
    "4f": (528, 256, 160, 320, 32, 128, 128),
    "5b": (832, 256, 160, 320, 32, 128, 128),
    "5c": (832, 384, 192, 384, 48, 128, 128),
}


class Plain(nn.Module):
    """A convolution as CoCLR names it: ``conv``, ``bn``."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(i, o, 1, bias=False)
        self.bn = nn.BatchNorm3d(o)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Separable(nn.Module):
    """Space, then time: ``conv1``, ``bn1``, ``conv2``, ``bn2``."""

    def __init__(self, i: int, o: int, kernel: int, stride: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.conv1 = nn.Conv3d(i, o, (1, kernel, kernel), (1, stride, stride), (0, pad, pad), bias=False)
        self.bn1 = nn.BatchNorm3d(o)
        self.conv2 = nn.Conv3d(o, o, (kernel, 1, 1), (stride, 1, 1), (pad, 0, 0), bias=False)
        self.bn2 = nn.BatchNorm3d(o)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()


class Mixed(nn.Module):
    """Four branches, each a sequence."""

    def __init__(self, i: int, a: int, b1: int, b2: int, c1: int, c2: int, d: int) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(Plain(i, a))
        self.branch1 = nn.Sequential(Plain(i, b1), Separable(b1, b2, 3, 1))
        self.branch2 = nn.Sequential(Plain(i, c1), Separable(c1, c2, 3, 1))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), Plain(i, d))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], dim=1)


class CoclrS3D(nn.Module):
    """S3D with the names of CoCLR, in which every stage is registered twice."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv_1a = Separable(3, 64, 7, 2)
        self.Conv_2b, self.Conv_2c = Plain(64, 64), Separable(64, 192, 3, 1)
        for name, row in TABLE.items():
            setattr(self, f"Mixed_{name}", Mixed(*row))
        self.block1 = nn.Sequential(self.Conv_1a)
        self.block2 = nn.Sequential(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), self.Conv_2b, self.Conv_2c)
        self.block3 = nn.Sequential(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)), *self.mixed("3"))
        self.block4 = nn.Sequential(nn.MaxPool3d(3, 2, 1), *self.mixed("4"))
        self.block5 = nn.Sequential(nn.MaxPool3d(2, 2), *self.mixed("5"))

    def mixed(self, stage: str) -> list[nn.Module]:
        return [getattr(self, f"Mixed_{name}") for name in TABLE if name.startswith(stage)]

    def forward(self, x: Tensor) -> Tensor:
        return self.block5(self.block4(self.block3(self.block2(self.block1(x)))))


@torch.no_grad()
def stirred(module: nn.Module, clips: Tensor = CLIPS) -> nn.Module:
    """With the statistics of its own activations, so small that a wrong epsilon shows, and weights that differ."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight.mul_(0.1)
        if isinstance(layer, nn.BatchNorm3d):
            layer.momentum = 1.0
            layer.weight.copy_(0.5 + torch.rand(layer.num_features, generator=generator))
    module.train()(clips)
    return module.eval()


@pytest.fixture(scope="module")
def coclr() -> CoclrS3D:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stirred(CoclrS3D())


@pytest.fixture(scope="module")
def kinetics() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = s3d()
        stirred(network.features)
        return network.eval()


def imported_features(folder: Path, clips: Tensor = CLIPS) -> Tensor:
    """Features by a checkpoint and its own recipe, in float64: float32 rounding would hide a wrong tensor."""
    checkpoint = load_checkpoint(folder)
    recipe = config.recipe_from_toml(checkpoint.recipe, "it")
    encoder = wiring.build_trained(recipe, checkpoint, Compute(torch.device("cpu"))).encoder.eval().double()
    return encoder.partial_forward(clips.double(), 0, encoder.depth).mean(dim=(2, 3, 4))


@pytest.mark.slow
@torch.no_grad()
def test_coclr_weights_give_the_features_that_coclr_s_network_gives(coclr, tmp_path, capsys) -> None:
    """As its trainer saves them: query, key and sampler in Sequentials, with their heads, and the queue."""
    other = CoclrS3D().state_dict()
    state = {"queue": torch.zeros(128, 16), "queue_ptr": torch.zeros(1)}
    for name, weights in (("encoder_q", coclr.state_dict()), ("encoder_k", other), ("sampler", other)):
        state.update({f"{name}.0.{key}": value for key, value in weights.items()})
        state.update({f"{name}.2.weight": torch.zeros(8, 8, 1, 1, 1), f"{name}.2.bias": torch.zeros(8)})
    torch.save({"epoch": 3, "state_dict": state, "best_acc": 0.5}, tmp_path / "epoch3.pth.tar")
    report = import_checkpoint(tmp_path / "epoch3.pth.tar", "rgb", tmp_path / "out")
    assert (report.layout, report.match.prefix) == ("coclr", "encoder_q.0.")
    assert (report.match.share, report.match.missing, report.match.unexpected) == (1.0, (), ())
    assert report.match.dropped["queue"] == 1
    expected = coclr.double()(CLIPS.double()).mean(dim=(2, 3, 4))
    torch.testing.assert_close(imported_features(tmp_path / "out"), expected, rtol=1e-5, atol=1e-6)
    printed = capsys.readouterr().err
    assert "matched" in printed
    assert "of sampler" in printed


@pytest.mark.slow
@torch.no_grad()
def test_torchvision_weights_give_its_features_though_its_batchnorm_has_another_epsilon(kinetics, tmp_path) -> None:
    torch.save(kinetics.state_dict(), tmp_path / "s3d.pth")
    report = import_checkpoint(tmp_path / "s3d.pth", "rgb", tmp_path / "out")
    assert (report.layout, report.match.share, report.match.dropped) == ("torchvision", 1.0, {"classifier": 2})
    expected = kinetics.double().features(CLIPS.double()).mean(dim=(2, 3, 4))
    torch.testing.assert_close(imported_features(tmp_path / "out"), expected, rtol=1e-4, atol=1e-5)
    about = load_checkpoint(tmp_path / "out").about
    assert "0.001" in str(about["batch_norm"])


PREFIXES = (
    "",
    "features.",
    "module.encoder_q.features.",
    "module.encoder_q.0.",
    "_orig_mod.backbone.features.",
    "model.backbone.",
    "module.base_encoder.features.",
)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_is_found_and_the_key_encoder_is_not_taken(prefix) -> None:
    encoder = S3DEncoder(width=0.0625)
    names = {key: value.shape for key, value in encoder.state_dict().items()}
    query = {prefix + key.removeprefix("features."): value for key, value in encoder.state_dict().items()}
    key = {
        name.replace("encoder_q", "encoder_k").replace("base_", "momentum_"): value + 1 for name, value in query.items()
    }
    match = match_weights({**key, **query}, names, LAYOUTS["moco"])
    assert match.share == 1.0
    assert all(torch.equal(match.found[name], value) for name, value in encoder.state_dict().items())


def test_a_tensor_of_another_shape_is_told_and_not_taken() -> None:
    names = {key: value.shape for key, value in S3DEncoder(width=0.0625).state_dict().items()}
    tensors = dict(S3DEncoder(width=0.0625).state_dict())
    tensors["features.2.0.weight"] = torch.zeros(1, 2, 3, 1, 1)
    tensors["features.99.weight"] = tensors.pop("features.2.1.weight")
    match = match_weights(tensors, names, LAYOUTS["torchvision"])
    assert match.misshapen == ("features.2.0.weight: [1, 2, 3, 1, 1] in the file, [4, 4, 1, 1, 1] expected",)
    assert match.missing == ("features.2.1.weight",)
    assert match.unexpected == ("features.99.weight",)
    assert match.share == pytest.approx(1 - 3 / (len(names) + 1))


@pytest.mark.slow
def test_less_than_95_per_cent_is_refused_unless_asked_for(tmp_path, capsys) -> None:
    """Gated S3D has all of S3D's tensors, and more: it would load and compute something else."""
    state = {**S3DEncoder(width=0.0625).state_dict()}
    state.update({f"features.{n}.gating_b{b}.fc.weight": torch.zeros(2, 2) for n in range(9) for b in range(4)})
    torch.save(state, tmp_path / "gated.pth")
    command = ["import", tmp_path / "gated.pth", "--modality", "rgb", "--out", tmp_path / "out"]
    assert vimix(*command) == 2
    assert "below 95 %" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert vimix(*command, "--allow-partial") == 0
    assert load_checkpoint(tmp_path / "out").about["unexpected"] == 36


class Payload:
    """Pickled code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("write", ["pickle", "torch"])
@pytest.mark.parametrize("command", ["import", "export"])
def test_a_hostile_file_is_refused_and_its_code_does_not_run(write, command, tmp_path, capsys) -> None:
    hostile, mark = tmp_path / "hostile.pth", tmp_path / "ran"
    content = {"state_dict": {"features.0.0.0.weight": torch.zeros(1)}, "extra": Payload(mark)}
    if write == "pickle":
        hostile.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, hostile)
    pickle.loads(hostile.read_bytes()) if write == "pickle" else torch.load(hostile, weights_only=False)
    assert mark.exists(), "the payload is harmless and the test says nothing"
    mark.unlink()
    options = {"import": ["--modality", "rgb"], "export": ["--format", "safetensors"]}[command]
    assert vimix(command, hostile, *options, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "hostile.pth" in error
    assert "code" in error
    assert "Traceback" not in error
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (b"no weights", [], "not tensors and plain data alone"),
        ({"epoch": 3}, [], "expected tensors by name"),
        ({"layer.weight": torch.zeros(2, 2)}, [], "no name in it is one of an encoder"),
        (dict(S3DEncoder(channels=2, width=0.0625).state_dict()), [], "vimix feeds 3 to rgb"),
        (dict(S3DEncoder(width=0.0625).state_dict()), ["--layout", "coclr"], "first convolution"),
        (dict(S3DEncoder(width=0.0625).state_dict()), ["--layout", "x"], "--layout x: expected auto or one of"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line(content, arguments, told, tmp_path, capsys) -> None:
    file = tmp_path / "file.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    assert vimix("import", file, "--modality", "rgb", "--out", tmp_path / "out", *arguments) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_safetensors_file_is_refused(tmp_path, capsys) -> None:
    save_file({"features.0.0.0.weight": torch.zeros(4)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-8])
    assert vimix("import", tmp_path / "w.safetensors", "--modality", "rgb", "--out", tmp_path / "out") == 2
    assert "not a safetensors file, or a damaged one" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), [(1e-3, 1e-5), (1e-5, 1e-3)])
def test_another_epsilon_computes_the_same_and_there_and_back_is_where_it_was(old, new) -> None:
    layer, other = nn.Sequential(nn.BatchNorm3d(6, eps=old)).eval(), nn.Sequential(nn.BatchNorm3d(6, eps=new)).eval()
    layer[0].running_var.copy_(torch.tensor([0.0, 1e-6, 1e-4, 1e-2, 1.0, 100.0]))
    other.load_state_dict(with_epsilon(layer.state_dict(), old, new))
    x = torch.randn(3, 6, 2, 2, 2)
    torch.testing.assert_close(other(x), layer(x))
    back = with_epsilon(other.state_dict(), new, old)
    torch.testing.assert_close(back["0.weight"], layer[0].weight)
