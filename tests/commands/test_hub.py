"""Encoders go to the Hugging Face Hub and come back, through a stand-in of its HTTP API on this machine."""

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.builders import random_encoder
from tests.cli import refused, vimix
from tests.fakes.hub import hub
from tests.recipes import ROOT
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint

INSTALLED = importlib.util.find_spec("huggingface_hub") is not None
needs_hub = pytest.mark.skipif(not INSTALLED, reason="the extra [hub] is not installed")


@pytest.fixture
def trained(tmp_path) -> Path:
    random_encoder(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def repositories(monkeypatch) -> Iterator[dict[str, dict[str, bytes]]]:
    with hub() as (address, held):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield held


@pytest.mark.slow
@needs_hub
def test_an_encoder_goes_and_comes_back_with_its_recipe_and_card(trained, repositories, tmp_path) -> None:
    assert vimix("push", trained, "someone/small-rgb", "--private") == 0
    files = repositories["someone/small-rgb"]
    assert set(files) == {"encoder.safetensors", "recipe.toml", "README.md"}
    assert files["README.md"].decode().startswith("---\nlibrary_name: vimix\n")
    assert "Licence and data terms" in files["README.md"].decode()
    assert files["recipe.toml"].decode() == load_checkpoint(trained).recipe
    assert vimix("pull", "someone/small-rgb", "--out", tmp_path / "pulled") == 0
    sent, back = (load_checkpoint(folder).parts["query"] for folder in (trained, tmp_path / "pulled"))
    assert all(torch.equal(back[name], value) for name, value in sent.items() if name.startswith("encoder."))
    assert vimix("pull", "someone/small-rgb", "--out", tmp_path / "pulled") == 2


@pytest.mark.slow
@needs_hub
def test_what_is_not_there_is_one_line(repositories, tmp_path, capsys) -> None:
    repositories["someone/other"] = {"README.md": b"hello"}
    for name, message in (
        ("someone/nothing", "there is no such repository"),
        ("someone/other", "it lacks encoder.safetensors"),
        ("a/b/c", "expected OWNER/NAME"),
    ):
        assert message in refused(capsys, "pull", name, "--out", tmp_path / "pulled")


@pytest.mark.slow
@needs_hub
def test_a_hub_that_cannot_be_reached_is_one_line_that_says_what_to_do(trained, tmp_path, monkeypatch, capsys) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr("time.sleep", lambda _: None)  # between the client's own attempts
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        commands = (["pull", "someone/small", "--out", tmp_path / "pulled"], ["push", trained, "someone/small"])
        for reason in ("Connection refused", "offline mode is enabled"):
            for command in commands:
                told = " ".join(refused(capsys, *command).split())
                assert told.count("error: someone/small: the Hub cannot be reached (") == 1
                assert reason in told
                assert "connect this machine to the network, check HF_ENDPOINT" in told
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_without_the_extra_it_is_refused_by_its_name(trained, monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install 'vimix-ssl[hub]'" in refused(capsys, "push", trained, "someone/small")


def test_torch_hub_loads_an_encoder_from_the_source(trained) -> None:
    encoder = torch.hub.load(str(ROOT), "encoder", str(trained), device="cpu", source="local")
    assert encoder.features(torch.zeros(1, 3, 8, 32, 32)).shape == (1, 64)
