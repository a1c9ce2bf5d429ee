"""What a run cannot be finished with is refused before it trains, by file or key."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli import refused, sets, vimix
from tests.e2e.killing import make_place
from tests.fakes.store import FakeVideoStore
from vimix.values.errors import VimixError
from vimix.values.modality import RGB
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.commands.scores import require_fair_splits
from vimix_adapters.commands.step_timer import extrapolated
from vimix_adapters.config.store_settings import PackSettings


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store of twelve videos to train on and four to ask for, a recipe, and a store with splits to trip over."""
    folder = tmp_path_factory.mktemp("before")
    make_odd_store(folder / "odd.h5")
    return make_place(folder)


def make_odd_store(path: Path) -> None:
    """Without flow, and with splits that lack classes, lack a label, or lie in each other."""
    settings, entries = PackSettings(codec="raw", flow="none", short_side=32), []
    for number, (label, splits) in enumerate(
        [(0, "a same"), (1, "a same"), (0, "one a"), (-1, "unlabelled"), (0, "b")]
    ):
        part = path.with_name(f"odd-{number}.part")
        write_part(part, {RGB: np.zeros((12, 32, 40, 3), dtype=np.uint8)}, 30.0, settings)
        entries.append(Entry(part, f"v{number}", label, f"s{number}", tuple(splits.split())))
    merge_parts(path, entries, ["bow", "wave"], settings, 0)


def not_run(place: Path, capsys, *more: str) -> str:
    """The line on which ``vimix run`` gives up, having trained and written nothing."""
    told = refused(capsys, "run", place / "r.toml", "--out", place / "run", "--device", "cpu", *more)
    assert not (place / "run").exists(), "refused before anything is trained"
    return told


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--plan"]])
def test_channels_are_those_of_the_store(place, capsys, more) -> None:
    told = not_run(place, capsys, "--set", "modalities.flow.channels=3", *more)
    assert f"modalities.flow.channels: 3, but {place / 's.h5'} holds flow in 2 channels: use channels = 2" in told


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["0", "x", "1,1", "-1,2", "1,", "0,4294967296", "1000000000"])
def test_seeds_are_what_every_generator_takes(place, capsys, seeds) -> None:
    told = not_run(place, capsys, "--seeds", seeds)
    assert f"--seeds {seeds}: expected a number of seeds such as 5 (at most 1000), or a list such as 0,1,2" in told
    assert "for a single seed use --set seed=N" in told


ONLY_RGB = ["modalities={ rgb = { width = 0.0625 } }", "arms.vimix.stages=[{ pretrain = 'rgb' }]"]
OTHER = ["evaluate.stores.other.store={0}/odd.h5", "evaluate.stores.other.gallery=a", "evaluate.stores.other.queries=b"]


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--plan"]])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["evaluate.queries=tset"], "evaluate: {0}/s.h5 has no split 'tset', only test, train"),
        (["evaluate.gallery=validation"], "evaluate: {0}/s.h5 has no split 'validation'"),
        (OTHER, "evaluate.stores.other: {0}/odd.h5 has no modality 'flow'"),
        (
            [*ONLY_RGB, *OTHER, "evaluate.stores.other.queries=unlabelled"],
            "evaluate.stores.other: 1 videos of split 'unlabelled' have no label (v3, ...)",
        ),
        (
            [*ONLY_RGB, *OTHER, "evaluate.stores.other.queries=same"],
            "evaluate.stores.other: 2 videos are in split 'a', to train on, and in 'same'",
        ),
        (
            [*ONLY_RGB, *OTHER, "evaluate.stores.other.gallery=one"],
            "evaluate.stores.other: all videos of split 'one' are of one class",
        ),
    ],
)
def test_what_encoders_are_judged_on_is_there(place, capsys, settings, expected, more) -> None:
    told = not_run(place, capsys, *sets(*(setting.replace("{0}", str(place)) for setting in settings)), *more)
    assert expected.replace("{0}", str(place)) in told


@pytest.mark.slow
def test_another_store_that_is_missing_stops_a_run_and_is_told_by_its_plan(place, capsys) -> None:
    """As the recipe's own store is: a plan may be wanted before all data are there."""
    missing = ["--set", "evaluate.stores.other.store=nowhere.h5"]
    assert "evaluate.stores.other: nowhere.h5: there is no such store" in not_run(place, capsys, *missing)
    assert vimix("run", place / "r.toml", "--out", place / "run", "--device", "cpu", "--plan", *missing) == 0
    assert "evaluate.stores.other: nowhere.h5 does not exist yet" in capsys.readouterr().out


@pytest.mark.slow
def test_the_plan_of_a_missing_store_imports_no_torch(place) -> None:
    """It is instant: the recipe, its checks and its settings are plain data."""
    code = (
        "import sys\nfrom vimix_adapters.cli.main import app\n"
        f"app(['run', {str(place / 'r.toml')!r}, '--out', 'x', '--plan', '--set', 'data.store=nowhere.h5'], "
        "standalone_mode=False)\n"
        "assert not {'torch', 'cv2', 'h5py', 'torchvision', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert (done.stderr.strip(), done.returncode) == ("", 0)
    assert "steps, disk and time need the store: nowhere.h5 does not exist yet" in done.stdout


@pytest.mark.parametrize("task", ["finetune", "linear-end-to-end"])
def test_a_classifier_of_one_class_is_not_trained(place, capsys, task) -> None:
    settings = ["data.store={0}/odd.h5", "data.train_split=one", "evaluate.gallery=one", "evaluate.queries=b"]
    settings += [*ONLY_RGB, "evaluate.protocol=coclr"]
    command = ["evaluate", task, place / "r.toml", "--from-scratch", "rgb", "--out", place / "one.json"]
    assert vimix(*command, *sets(*(setting.replace("{0}", str(place)) for setting in settings)), "--device", "cpu") == 2
    assert "all videos of split 'one' are of one class, a classifier needs two" in capsys.readouterr().err


def test_a_split_without_videos_is_refused() -> None:
    with pytest.raises(VimixError, match="split 'train' holds no video"):
        require_fair_splits(FakeVideoStore(count=0), "train", "test")


@pytest.mark.slow
def test_a_curve_wants_videos_with_labels(place, capsys) -> None:
    """Else the first epoch would end in vain. ``vimix pretrain`` is not evaluated, but it is watched."""
    settings = [*ONLY_RGB, "data.store={0}/odd.h5", "data.train_split=a"]
    settings += ["evaluate.knn_every=1", "evaluate.gallery=a", "evaluate.queries=unlabelled", "optim.batch=2"]
    settings += ["contrast.bn_groups=1"]
    command = ["pretrain", place / "r.toml", "--modality", "rgb", "--device", "cpu", "--out", place / "single"]
    assert vimix(*command, *sets(*(setting.replace("{0}", str(place)) for setting in settings))) == 2
    assert "evaluate.knn_every: split 'unlabelled' has no video with a label" in capsys.readouterr().err
    assert not list((place / "single").rglob("*.pt"))


def test_the_time_of_a_step_lies_on_the_line_through_two_timed_ones() -> None:
    fixed, per_clip = 0.25, 0.125
    few, many = ((clips, fixed + per_clip * clips) for clips in (4, 8))
    assert [extrapolated(few, many, clips) for clips in (8, 2, 64)] == [1.25, 0.5, 8.25]
    assert extrapolated((4, 2.0), (8, 1.5), 64) == 1.5
