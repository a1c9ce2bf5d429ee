"""Exported weights give the same features where they are loaded, and a card says what they are."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torchvision.models.video import s3d

from tests.builders import random_encoder
from tests.cli import vimix
from tests.fakes.skeletons import FIVE
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore, load_checkpoint
from vimix_adapters.config.store_settings import SkeletonSettings
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork
from vimix_adapters.reports.tables import Row, write_tables

CPU = Compute(torch.device("cpu"))
CLIPS = torch.randn(4, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))


def made(folder: Path, width: float = 0.0625, channels: int = 3) -> tuple[Path, ContrastiveNetwork]:
    """A run's checkpoint, and its network."""
    settings = config.ModalitySettings(width=width, channels=channels)
    modality = "rgb" if channels == 3 else "flow"
    stage = folder / "moco/1-pretrain"
    return stage, random_encoder(stage, modality, settings, CLIPS[:, :channels], arm="moco", data="f00d")


def export(checkpoint: Path, format_name: str, out: Path) -> None:
    assert vimix("export", checkpoint, "--format", format_name, "--out", out) == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, ContrastiveNetwork]:
    return made(tmp_path_factory.mktemp("small"))


@pytest.mark.slow
@torch.no_grad()
def test_torchvision_loads_what_was_exported_for_it_and_gives_the_same_features(tmp_path) -> None:
    checkpoint, network = made(tmp_path, width=1.0)
    export(checkpoint, "torchvision", tmp_path / "s3d.pth")
    theirs = s3d()
    result = theirs.load_state_dict(torch.load(tmp_path / "s3d.pth", weights_only=True), strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["classifier.1.weight", "classifier.1.bias"], [])
    ours = torch.nn.Sequential(*network.encoder.eval().double().features)(CLIPS.double())
    torch.testing.assert_close(theirs.eval().double().features(CLIPS.double()), ours, rtol=1e-4, atol=1e-4)
    assert vimix("import", tmp_path / "s3d.pth", "--modality", "rgb", "--out", tmp_path / "back") == 0
    back = load_checkpoint(tmp_path / "back").parts["query"]
    for name, value in network.float().encoder.state_dict().items():
        torch.testing.assert_close(back[f"encoder.{name}"], value)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "channels"), [(0.0625, 3), (1.0, 2)])
def test_torchvision_has_no_other_width_or_channels_and_nothing_is_written(width, channels, tmp_path, capsys) -> None:
    checkpoint, _ = made(tmp_path, width, channels)
    assert vimix("export", checkpoint, "--format", "torchvision", "--out", tmp_path / "x.pth") == 2
    assert "use --format safetensors" in capsys.readouterr().err
    assert not list(tmp_path.glob("x*"))


@pytest.mark.slow
@pytest.mark.parametrize(("width", "channels"), [(0.0625, 3), (0.3, 2)])
def test_safetensors_come_back_bit_for_bit(width, channels, tmp_path) -> None:
    checkpoint, network = made(tmp_path, width, channels)
    file = tmp_path / "encoder.safetensors"
    export(checkpoint, "safetensors", file)
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["width"] == str(width)
        assert set(opened.keys()) == set(network.encoder.state_dict())
    modality = "rgb" if channels == 3 else "flow"
    assert vimix("import", file, "--modality", modality, "--out", tmp_path / "back") == 0
    back = load_checkpoint(tmp_path / "back")
    assert back.about["layout"] == "vimix"
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(back.parts["query"][f"encoder.{name}"], value)


def test_an_export_of_st_gcn_comes_back_with_its_settings_and_the_graph_of_its_store(tmp_path) -> None:
    settings = config.ModalitySettings(encoder="stgcn", stgcn=config.Stgcn(hidden_channels=2, feature_size=4))
    recipe = config.Recipe(name="small", data=config.Data(store=""), modalities={"joint": settings})
    packing = SkeletonSettings(layout=FIVE, frames=20)
    network = wiring.build_network(recipe, Modality("joint"), CPU, packing)
    about = {"stage": "pretrain-joint", **wiring.packing_record(packing)}
    parts = {"query": network.state_dict()}
    FolderCheckpointStore(tmp_path / "run").save(Checkpoint("joint", config.recipe_to_toml(recipe), parts, about))
    export(tmp_path / "run", "safetensors", tmp_path / "joint.safetensors")
    command = ["import", tmp_path / "joint.safetensors", "--out", tmp_path / "back"]
    assert vimix(*command, "--modality", "joint") == 0
    back = load_checkpoint(tmp_path / "back")
    assert wiring.recorded_packing(back.about) == packing
    again = wiring.build_trained(config.recipe_from_toml(back.recipe, "it"), back, CPU)
    clips = torch.randn(2, 3, 20, 5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.features(clips), network.features(clips))
    assert vimix(*command, "--modality", "bone") == 2


@pytest.mark.slow
def test_an_exported_program_gives_the_same_features_for_any_batch(small, tmp_path) -> None:
    checkpoint, network = small
    export(checkpoint, "torch-export", tmp_path / "encoder.pt2")
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    for batch in (1, 3, 4):
        torch.testing.assert_close(program(CLIPS[:batch]), network.features(CLIPS[:batch]), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("onnxscript") is not None, reason="the extra [onnx] is installed")
def test_without_the_extra_onnx_is_refused_by_its_name(small, tmp_path, capsys) -> None:
    assert vimix("export", small[0], "--format", "onnx", "--out", tmp_path / "encoder.onnx") == 2
    assert "pip install 'vimix-ssl[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_onnx_gives_the_same_features_for_any_batch(small, tmp_path) -> None:
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnxruntime")
    checkpoint, network = small
    export(checkpoint, "onnx", tmp_path / "encoder.onnx")
    session = reference.InferenceSession(tmp_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        (features,) = session.run(None, {"clips": CLIPS[:batch].numpy()})
        np.testing.assert_allclose(features, network.features(CLIPS[:batch]).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_card_names_recipe_data_scores_and_terms(small, tmp_path) -> None:
    checkpoint, _ = small
    run = checkpoint.parents[1]
    write_tables(run, [Row("MoCo", "rgb + flow", {"R@1": 0.125}), Row("MoCo", "flow", {"R@1": 0.5})], {"seed": 0})
    (run / "recipe.toml").touch()
    export(checkpoint / "last.pt", "safetensors", tmp_path / "e.safetensors")
    card = (tmp_path / "e.safetensors.md").read_text()
    for part in (
        "f00d",
        "| MoCo | rgb + flow | 12.5 |",
        "Apache-2.0",
        "NTU RGB+D",
        "[modalities.rgb]",
        "ImageNet",
        "| arm | moco |",
    ):
        assert part in card, part
    assert "50.0" not in card, "flow's own row is not this encoder's"


@pytest.mark.parametrize("text", ['{"format": "vimix-table-1", "rows": [{"arm": "MoCo"}]}', "[1, 2", '{"rows": 3}'])
def test_damaged_results_of_the_run_are_named_and_left_out_of_the_card(small, tmp_path, capsys, text) -> None:
    checkpoint, _ = small
    run = checkpoint.parents[1]
    (run / "recipe.toml").touch()
    (run / "results.json").write_text(text)
    export(checkpoint, "safetensors", tmp_path / "e.safetensors")
    message = capsys.readouterr().err
    assert "the model card has no scores" in message
    assert f"{run / 'results.json'}" in message
    assert "None recorded beside this checkpoint." in (tmp_path / "e.safetensors.md").read_text()
