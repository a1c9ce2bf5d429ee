"""A command that needs more than there is ends in one line, before it takes it and with nothing half written."""

import signal
import subprocess
import sys
from collections.abc import Callable

import h5py
import numpy as np
import pytest
import torch

from tests.builders import no_file_longer_than, random_encoder
from tests.cli import refused, sets, vimix
from tests.e2e.killing import RECIPE
from vimix.app.steps import pretrain_step
from vimix.domain.mixing.policies import Mixup
from vimix.values.clip_batch import ClipBatch
from vimix.values.errors import VimixError
from vimix.values.modality import RGB
from vimix_adapters import wiring
from vimix_adapters.checkpoints.foreign import read_weights
from vimix_adapters.cli import main
from vimix_adapters.commands import run as run_commands
from vimix_adapters.commands.extract import WRITERS, FeatureTable
from vimix_adapters.commands.run import run_plan
from vimix_adapters.config import read_recipe, recipe_from_toml
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.files import replacing, sweep_folder
from vimix_adapters.reports.tables import Row

ONLY_RGB = "arms.vimix.stages=[{ pretrain = 'rgb' }]"


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("setting", "more"),
    [
        ("data.size=40000", []),
        ("data.size=9223372036854775807", []),
        ("contrast.queue=10000000000", []),
        ("contrast.embedding=4000000000", ["--plan"]),
        ("data.workers=50000", ["--plan"]),
    ],
)
def test_a_recipe_that_needs_more_memory_than_there_is_is_refused_before_it_is_taken(
    killed_place, tmp_path, capsys, setting, more
) -> None:
    command = ["run", killed_place / "r.toml", "--out", tmp_path / "run", "--device", "cpu"]
    assert vimix(*command, *sets(setting), *more) == 2
    shown = capsys.readouterr()
    told = shown.err
    assert setting.replace("=", " = ") in told
    assert ("MiB" in shown.out) == (bool(more) and "this machine has" in told), "the plan shows what is needed"
    assert "this machine has" in told or "more memory than can be counted" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def peak(act: Callable[[], object]) -> int:
    """Most bytes of tensors that lived at once while ``act`` ran, as torch's profiler counts them."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        act()
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


@pytest.mark.slow
@pytest.mark.parametrize(("width", "queue"), [(0.125, 0), (0.0625, 20000)])
def test_the_estimate_of_memory_is_that_of_a_real_step_within_a_factor_of_two(width, queue) -> None:
    recipe = recipe_from_toml(
        f'name = "x"\n[data]\nstore = ""\nframes = 8\nsize = 32\n[modalities.rgb]\nwidth = {width}\n'
        f"[optim]\nbatch = 4\n[contrast]\nqueue = {queue}",
        "x",
    )
    cpu, ids = Compute(torch.device("cpu")), torch.arange(4)

    def steps() -> None:
        step = pretrain_step(wiring.build_learner(recipe, RGB, cpu), Mixup())
        views = tuple(torch.randn(4, *wiring.batch_shape(recipe, RGB)) for _ in range(2))
        for _ in range(2):
            step(ClipBatch({RGB: views}, ids, ids, ids), np.random.default_rng(0))

    estimated = sum(wiring.training_memory(recipe, {RGB: 2}, cpu).on_device.values())
    measured = peak(steps)
    assert measured / 2 < estimated < 2 * measured


def raising(error: Exception):
    def app() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("asks", "size"),
    [
        (lambda: torch.empty(10**15), "4000000000000000 bytes"),
        (lambda: np.empty(10**15), "7.11 PiB"),
        (raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has")), "20.50"),
    ],
)
def test_out_of_memory_is_one_line_with_who_asked_for_how_much(monkeypatch, capsys, asks, size) -> None:
    monkeypatch.setattr(main, "app", asks)
    told = refused(capsys, "run")
    assert told.startswith("error: out of memory")
    assert f"vimix_adapters.cli.main (_run) asked for {size}" in told
    assert told.count("\n") == 1


def test_another_error_of_torch_keeps_its_traceback(monkeypatch) -> None:
    monkeypatch.setattr(main, "app", raising(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        vimix("run")


@pytest.mark.parametrize("format_name", ["safetensors", pytest.param("torch-export", marks=pytest.mark.slow)])
def test_a_full_disk_under_an_export_is_one_line_and_leaves_nothing(tmp_path, capsys, format_name) -> None:
    random_encoder(tmp_path / "run")
    with no_file_longer_than(10_000):
        assert vimix("export", tmp_path / "run", "--format", format_name, "--out", tmp_path / "x") == 2
    assert "x cannot be written: File too large; free some space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


@pytest.mark.parametrize("suffix", [".h5", ".npz", ".csv"])
def test_a_full_disk_under_features_is_one_line_and_leaves_nothing(tmp_path, suffix) -> None:
    table = FeatureTable(np.ones((100, 64), np.float32), {"names": np.array(["a"] * 100)}, {})
    with no_file_longer_than(10_000), pytest.raises(VimixError, match="cannot be written: File too large"):
        WRITERS[suffix](tmp_path / f"x{suffix}", table)
    assert list(tmp_path.iterdir()) == []
    WRITERS[suffix](tmp_path / f"x{suffix}", table)
    if suffix == ".h5":
        with h5py.File(tmp_path / "x.h5") as file:
            assert file["features"][:].sum() == 6400
            assert file["names"].asstr()[99] == "a"


def test_a_flipped_bit_in_exported_weights_is_one_line(tmp_path) -> None:
    out = tmp_path / "x.safetensors"
    random_encoder(tmp_path / "run")
    assert vimix("export", tmp_path / "run", "--format", "safetensors", "--out", out) == 0
    whole = out.read_bytes()
    assert read_weights(out).tensors
    for place in (len(whole) // 2, len(whole) - 1, whole.index(b"pretrain-rgb"), whole.index(b"small")):
        out.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(VimixError, match=r"x\.safetensors: "):
            read_weights(out)


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("stderr", ["2>&-", "2> >(:)"])
def test_a_closed_stderr_changes_nothing(killed_place, tmp_path, stderr) -> None:
    """Its messages are lost: none goes to standard output, into a file, or ends the command."""
    done = shell(f'"$0" -m vimix store export "$1" v0 --out "$2" {stderr}', killed_place / "s.h5", tmp_path / "v.mp4")
    assert (done.returncode, (tmp_path / "v.mp4").stat().st_size > 0) == (0, True)
    if stderr != "2>&-":
        return
    done = shell(f'"$0" -m vimix run missing.toml --out "$1" {stderr}', tmp_path / "run")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_request_to_stop_while_a_run_starts_is_answered_as_later(tmp_path, number) -> None:
    code = (
        "import os, sys, vimix_adapters.config as config\n"
        "from vimix_adapters.cli import main\n"
        f"config.read_recipe = lambda *_: os.kill(os.getpid(), {int(number)})\n"
        "sys.argv = ['vimix', 'run', 'r.toml', '--out', 'run']\nmain.run()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == f"stopped by {number.name}: nothing was under way; call the same command again\n"


def test_what_killed_calls_left_beside_results_goes_and_what_is_being_written_stays(tmp_path) -> None:
    code = (
        "import os, pathlib\nfrom vimix_adapters.files import replacing\n"
        "with replacing(pathlib.Path('curves.png')):\n    os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    (killed,) = tmp_path.iterdir()
    with replacing(tmp_path / "results.md") as written:
        sweep_folder(tmp_path)
        assert list(tmp_path.iterdir()) == [written]
    assert not killed.exists()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_run_that_learned_nothing_fails_and_its_rows_say_so(killed_place, tmp_path, capsys) -> None:
    settings = [ONLY_RGB, "contrast.temperature=1e-300", "run.max_bad_steps=1000", "pretrain.epochs=2"]
    command = ["run", killed_place / "r.toml", "--device", "cpu", "--out", tmp_path / "run"]
    for _ in range(2):
        told = refused(capsys, *command, *sets(*settings)).strip().splitlines()[-1]
        assert told.startswith(f"error: {tmp_path / 'run/results.md'}: vimix, rgb: nothing was learned")
        assert "untrained: 100 % of steps skipped" in (tmp_path / "run/results.md").read_text()
    single = ["pretrain", killed_place / "r.toml", "--modality", "rgb", "--device", "cpu", "--out", tmp_path / "single"]
    assert f"{tmp_path / 'single/pretrain-rgb'}: nothing was learned" in refused(capsys, *single, *sets(*settings))


ARMS = """
[arms.first]
stages = [{{ pretrain = "rgb", epochs = 1, milestones = [] }}]
[arms.second]
stages = [{{ pretrain = "rgb", epochs = {epochs}, milestones = [] }}]
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_arms_come_and_go_and_one_that_comes_back_changed_is_refused(killed_place, tmp_path, monkeypatch) -> None:
    """Only the trainings are looked at, not their evaluation."""
    monkeypatch.setattr(run_commands, "evaluate_run", lambda *_: [Row("arm", "rgb", {"R@1": 0.5})])
    begin = RECIPE.format(store=killed_place / "s.h5").partition("[arms.")[0]

    def run(arms: str) -> None:
        (tmp_path / "r.toml").write_text(begin + arms)
        run_plan(read_recipe(tmp_path / "r.toml"), tmp_path / "run", "cpu")

    first, _, second = ARMS.format(epochs=2).partition("[arms.second]")
    run(ARMS.format(epochs=2))
    trained = {file: file.stat().st_mtime_ns for file in (tmp_path / "run").glob("*/*/last.pt")}
    assert len(trained) == 2
    run(first)
    run(ARMS.format(epochs=2))
    run("[arms.second]" + second)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "run").glob("*/*/last.pt")} == trained
    with pytest.raises(VimixError, match=r"differs in \[arms\.first\] \(delete .*/run/first to train it anew\)"):
        run(ARMS.format(epochs=2).replace("epochs = 1", "epochs = 3"))
