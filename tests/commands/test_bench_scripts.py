"""The benchmark scripts of ``experiments`` refuse what they cannot measure, and write what they say."""

import os
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from vimix_adapters.checkpoints.weight_formats import LAYOUTS
from vimix_adapters.cli import main

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def peers():
    return runpy.run_path(str(EXPERIMENTS / "bench_peers.py"))


def test_a_folder_that_is_no_clone_of_a_peer_is_refused(peers, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["bench_peers.py", str(tmp_path)])
    with pytest.raises(SystemExit) as ending:
        peers["main"]()
    assert ending.value.code == 2
    told = capsys.readouterr().err
    assert f"{tmp_path} has neither" in told
    assert "backbone/s3dg.py (CoCLR) nor net/skeletonclr.py (CrosSCLR)" in told


def test_every_peer_has_a_weight_format_and_a_recipe_of_plain_moco(peers) -> None:
    for peer in peers["PEERS"]:
        recipe = peer.recipe(6, 0.0)
        assert peer.layout in LAYOUTS
        assert (recipe.optim.batch, recipe.contrast.bn_groups, recipe.contrast.negatives) == (6, 1, "queue")
        assert recipe.pretrain.mix.policy == "none"
        assert not peer.dropout or recipe.modalities[peer.modality].stgcn.dropout == 0


@pytest.mark.slow
def test_the_gpu_script_measures_on_the_gpu_and_writes_its_files(tmp_path) -> None:
    """Commands are replaced by one that writes down how it was called."""
    for tool in ("vimix", "python"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho {tool} "$@" >> "$CALLS"\n')
        (tmp_path / tool).chmod(0o755)
    calls, out = tmp_path / "calls", tmp_path / "out"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    script = ["sh", str(EXPERIMENTS / "bench_gpu.sh"), str(out)]
    assert subprocess.run(script, env=environment, check=True, capture_output=True, text=True).stdout
    assert {file.name for file in out.iterdir()} == {"machine.txt", "loader-raw.json", "loader-jpeg.json", "tvl1.txt"}
    lines = [shlex.split(line) for line in calls.read_text().splitlines()]
    assert sum(line[:2] == ["vimix", "bench"] for line in lines) == 2
    assert all("cuda" in line for line in lines if line[1] in ("bench", "bench-data"))
    for line in (line[1:] for line in lines if line[0] == "vimix"):
        group = typer.main.get_command(main.app)
        while hasattr(group, "commands"):
            group = group.commands[line.pop(0)]
        assert group.make_context("vimix", line), "its arguments exist"
    told = subprocess.run(script, env=environment, check=False, capture_output=True, text=True)
    assert told.returncode, "a folder that exists is not written to again"
