"""The command line from a folder of videos to a table, on real files, one of them broken."""

import fcntl
import json
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from tests.builders import skeleton_store
from tests.cli import TINY, printed, refused, sets, vimix
from tests.recipes import ROOT
from vimix.values.errors import VimixError
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.cli import main
from vimix_adapters.cli.options import worker_count
from vimix_adapters.reports.summaries import read_run

QUICK = [*sets("finetune.epochs=1", "finetune.milestones=[]"), "--device", "cpu"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Videos of two actions, one file cut short, packed into a store, with a recipe."""
    folder = tmp_path_factory.mktemp("e2e")
    synth = ["synth", folder / "synth", "--classes", 2, "--videos-per-class", 11, "--performers", 4, "--workers", 1]
    assert vimix(*synth) == 0
    victim = next((folder / "synth/videos").glob("*/*.mp4"))
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    options = ["--flow", "dis", "--short-side", 48, "--codec", "raw", "--workers", 1]
    split = ["--split", folder / "synth/splits.csv"]
    assert vimix("prepare", "folder", folder / "synth/videos", *split, "--out", folder / "s.h5", *options) == 0
    (folder / "tiny.toml").write_text(TINY.format(store=folder / "s.h5"))
    return folder


@pytest.fixture(scope="module")
def finished(place) -> Path:
    """A finished run of both arms."""
    assert vimix("run", place / "tiny.toml", "--out", place / "run", "--device", "cpu") == 0
    return place / "run"


def test_the_broken_file_is_left_out_and_listed(place, capsys) -> None:
    assert len((place / "s.quarantine.csv").read_text().splitlines()) == 2
    found = json.loads(printed(capsys, "store", "info", place / "s.h5", "--json"))
    assert (found["videos"], found["quarantined"]) == (21, 1)
    assert set(found["modalities"]) == {"rgb", "flow"}
    assert "fingerprint" in printed(capsys, "store", "info", place / "s.h5")


def test_a_plan_is_printed_and_nothing_is_done(place, capsys) -> None:
    shown = printed(capsys, "run", place / "tiny.toml", "--out", place / "planned", "--plan", "--device", "cpu")
    assert "cmmc-rgb-from-flow" in shown
    assert "to do" in shown
    assert not (place / "planned").exists()


def test_two_processes_do_not_train_in_one_folder(place, capsys) -> None:
    command = ["pretrain", place / "tiny.toml", "--modality", "rgb", "--out", place / "shared", "--device", "cpu"]
    (place / "shared/pretrain-rgb").mkdir(parents=True)
    with (place / "shared/pretrain-rgb/.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process is training there" in refused(capsys, *command)
        assert not list((place / "shared/pretrain-rgb").glob("*.pt"))
    assert vimix(*command) == 0, "a lock that nobody holds is none"


def test_a_recipe_that_is_none_in_a_runs_folder_is_one_line(place, tmp_path, capsys) -> None:
    (tmp_path / "recipe.toml").mkdir()
    told = refused(capsys, "pretrain", place / "tiny.toml", "--modality", "rgb", "--out", tmp_path, "--device", "cpu")
    assert "recipe.toml: expected a recipe in TOML, but it is a folder" in told


def test_a_folder_in_which_nothing_was_trained_takes_another_recipe(place, capsys) -> None:
    """The first call fails with what the next one changes; from the first row of metrics on it is the run's."""
    out = place / "again"
    command = ["pretrain", place / "tiny.toml", "--modality", "rgb", "--out", out, "--device", "cpu"]
    assert "less than a batch" in refused(capsys, *command, "--set", "optim.batch=400")
    written = (out / "recipe.toml").read_bytes()
    with (out / "pretrain-rgb/.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert vimix(*command) == 2
    assert "was begun with another recipe; it differs in optim.batch" in capsys.readouterr().err
    assert (out / "recipe.toml").read_bytes() == written
    assert vimix(*command) == 0
    assert (out / "recipe.toml").read_bytes() != written
    for path in (out / "pretrain-rgb").glob("*.pt"):
        path.unlink()
    assert vimix(*command, "--set", "optim.batch=400") == 2
    assert "was begun with another recipe; it differs in optim.batch" in capsys.readouterr().err


def test_a_run_leaves_everything_behind(finished) -> None:
    stages = sorted(str(path.relative_to(finished).parent) for path in finished.glob("*/*/last.pt"))
    assert stages == [
        "moco/1-pretrain-rgb",
        "moco/2-pretrain-flow",
        "vimix/1-pretrain-rgb",
        "vimix/2-pretrain-flow",
        "vimix/3-cmmc-rgb-from-flow",
        "vimix/4-cmmc-flow-from-rgb",
    ]
    for stage in stages:
        rows = [json.loads(line) for line in (finished / stage / "metrics.jsonl").read_text().splitlines()]
        assert rows
        assert {"step", "loss", "pretext_accuracy", "clips_per_second", "learning_rate"} <= rows[-1].keys()
        assert list((finished / stage / "tensorboard").iterdir())
    for name in ("recipe.toml", "results.json", "results.md", "curves.png", "retrieval.png", "report.html", "features"):
        assert (finished / name).stat().st_size > 0


def test_the_table_has_every_arm_every_modality_and_both_streams(finished) -> None:
    results = json.loads((finished / "results.json").read_text())
    lines = [(row["arm"], row["modality"]) for row in results["rows"]]
    expected = [(arm, m) for arm in ("random initialisation", "MoCo", "Vi-Mix") for m in ("rgb", "flow", "rgb + flow")]
    assert lines == expected
    assert all({"R@1", "R@5", "top-1"} <= row["scores"].keys() for row in results["rows"])
    assert {"seed", "commit", "versions", "machine", "data", "protocol", "videos", "recipe"} <= results["about"].keys()


def test_a_checkpoint_tells_its_arm_and_whether_a_later_stage_goes_on_training_it(finished) -> None:
    stages = ("moco/1-pretrain-rgb", "vimix/1-pretrain-rgb", "vimix/3-cmmc-rgb-from-flow")
    told = [load_checkpoint(finished / stage).about for stage in stages]
    assert [(about["arm"], about["stages_to_come"]) for about in told] == [("moco", 0), ("vimix", 1), ("vimix", 0)]


def test_called_again_a_run_goes_on_after_its_last_finished_stage(finished, place) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in finished.glob("*/*/last.pt")}
    for path in (finished / "vimix/4-cmmc-flow-from-rgb").glob("*.pt"):
        path.unlink()
        stamps.pop(path, None)
    assert vimix("run", place / "tiny.toml", "--out", finished, "--device", "cpu") == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert (finished / "vimix/4-cmmc-flow-from-rgb/last.pt").exists()


def test_a_picture_that_fails_costs_no_scores(finished, place, monkeypatch) -> None:
    (finished / "results.json").unlink()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("vimix_adapters.commands.evaluate_run.draw_training", fails)
        assert vimix("run", place / "tiny.toml", "--out", finished, "--device", "cpu") != 0
    assert (finished / "results.json").exists()


def test_another_recipe_in_the_same_folder_is_refused(finished, place, capsys) -> None:
    assert vimix("run", place / "tiny.toml", "--out", finished, "--set", "optim.lr=0.1") == 2
    assert "differs in optim.lr" in capsys.readouterr().err


def test_a_run_of_version_0_2_does_not_go_on_with_other_cut_points(finished, place, tmp_path, capsys) -> None:
    """Its recipe has no ``stages``, and its S3D was cut after 16 modules; five blocks are today's default."""
    old = tmp_path / "old"
    shutil.copytree(finished, old, symlinks=True)
    lines = (old / "recipe.toml").read_text().splitlines(keepends=True)
    written = "".join(line for line in lines if not line.startswith('stages = "blocks"'))
    assert len(written) < len("".join(lines))
    (old / "recipe.toml").write_text(written)
    told = refused(capsys, "run", place / "tiny.toml", "--out", old, "--device", "cpu")
    assert "it differs in modalities.rgb.stages, modalities.flow.stages" in told
    assert (old / "recipe.toml").read_text() == written


def test_an_arm_may_be_added_to_a_run_and_trains_only_what_no_other_has(finished, place, tmp_path, capsys) -> None:
    """Wherever in the recipe it is put: what is trained stays where it is."""
    shutil.copytree(finished, tmp_path / "run", symlinks=True)
    text = (place / "tiny.toml").read_text()
    head, rest = text.split("[arms.moco]")
    moco, vimix_arm = rest.split("[arms.vimix]")
    arms = f"[arms.again]{moco}[arms.moco]{moco}[arms.vimix]{vimix_arm}"
    (tmp_path / "more.toml").write_text(head + arms)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/*/last.pt")}
    command = ["run", tmp_path / "more.toml", "--out", tmp_path / "run", "--device", "cpu"]
    assert "to do: 0 s" in printed(capsys, *command, "--plan")
    assert vimix(*command) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert all(folder.is_symlink() for folder in (tmp_path / "run/again").iterdir())
    rows = json.loads((tmp_path / "run/results.json").read_text())["rows"]
    assert {row["key"] for row in rows if row["key"]} >= {"again", "moco", "vimix"}
    assert vimix("run", place / "tiny.toml", "--out", tmp_path / "run", "--device", "cpu") == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "an arm may leave a recipe again"


@pytest.mark.parametrize("task", ["retrieval", "linear"])
def test_an_evaluation_records_scores_protocol_and_the_untrained_encoder(finished, place, task) -> None:
    out = place / f"{task}.json"
    checkpoints = [finished / "vimix/4-cmmc-flow-from-rgb/last.pt", finished / "vimix/3-cmmc-rgb-from-flow"]
    assert vimix("evaluate", task, place / "tiny.toml", *checkpoints, "--out", out, "--device", "cpu") == 0
    record = json.loads(out.read_text())
    assert record["task"] == task
    assert record["scores"].keys() == record["untrained"].keys()
    assert record["videos"] == {"train": 15, "test": 6} or sum(record["videos"].values()) == 21
    assert list(record["checkpoints"]) == ["rgb", "flow"], "as the recipe has them"
    assert {"protocol", "seed", "commit", "versions", "machine", "data"} <= record.keys()


def test_finetuning_starts_from_checkpoints_or_from_nothing_and_is_not_overwritten(finished, place, capsys) -> None:
    out = place / "tuned.json"
    streams = [finished / "vimix/4-cmmc-flow-from-rgb", "--from-scratch", "rgb"]
    command = ["evaluate", "finetune", place / "tiny.toml", *streams, "--out", out, *QUICK]
    assert vimix(*command) == 0
    record = json.loads(out.read_text())
    assert record["task"] == "finetune"
    assert record["checkpoints"]["rgb"] == {"init": "random"}
    assert record["checkpoints"]["flow"]["stage"] == "cmmc-flow-from-rgb"
    assert record["protocol"]["crop"] == "ten"
    shown = capsys.readouterr().out
    assert "top-1" in shown
    assert "linear" not in shown, "the whole network was trained"
    assert "--from-scratch rgb --from-scratch flow" in shown, "the baseline that is missing is named"
    assert (place / "tuned/flow/last.pt").exists()
    assert "tuned.json exists" in refused(capsys, *command)
    assert "already holds a training: add --resume" in refused(capsys, *command, "--force")
    assert vimix(*command, "--resume") == 0
    assert json.loads(out.read_text())["scores"] == record["scores"]


def test_finetuning_on_another_store_uses_the_splits_of_that_store(finished, place) -> None:
    """Trained on what is the test split of the recipe's own store, and tested on the other one."""
    other = f'{{ other = {{ store = "{place / "s.h5"}", gallery = "test", queries = "train" }} }}'
    command = ["evaluate", "finetune", place / "tiny.toml", finished / "moco/2-pretrain-flow", "--on", "other", *QUICK]
    assert vimix(*command, *sets(f"evaluate.stores={other}"), "--out", place / "other.json") == 0
    record = json.loads((place / "other.json").read_text())
    assert record["tested_on"] == "other"
    assert record["protocol"]["trained_as"]["flow"]["clips"]["split"] == "test"


def test_a_finetuning_goes_on_only_from_the_same_weights_and_settings(finished, place, capsys) -> None:
    stage = finished / "moco/2-pretrain-flow"
    command = ["evaluate", "finetune", place / "tiny.toml", "--out", place / "same.json", *QUICK]
    assert vimix(*command, stage) == 0
    record = (place / "same.json").read_text()
    mistakes = [
        ([finished / "vimix/4-cmmc-flow-from-rgb"], "other weights to start from"),
        (["--from-scratch", "flow"], "other weights to start from"),
        ([stage, "--set", "finetune.lr=0.5"], "other settings of the training"),
        ([stage, "--set", "augment.flip=0"], "other augment"),
        ([stage, "--set", "data.stride=2"], "other clips"),
        ([stage, *sets("optim.batch=5", "contrast.bn_groups=1")], "other optim.batch"),
        ([stage, "--set", "modalities.flow.batch_norm_momentum=0.2"], "other modalities.flow"),
    ]
    for streams, told in mistakes:
        assert told in refused(capsys, *command, *streams, "--resume")
        assert (place / "same.json").read_text() == record
    again = ["--set", "finetune.crops=centre", "--set", "run.log_every=3", "--resume"]
    assert vimix(*command, stage, *again) == 0, "tested and reported otherwise"


def test_a_linear_layer_goes_on_only_from_the_same_encoder(finished, place, capsys) -> None:
    options = ["--protocol", "coclr", "--set", "evaluate.linear_epochs=1", "--device", "cpu"]
    command = ["evaluate", "linear-end-to-end", place / "tiny.toml", "--out", place / "same-linear.json", *options]
    assert vimix(*command, finished / "moco/2-pretrain-flow") == 0
    assert "other weights to start from" in refused(capsys, *command, finished / "vimix/2-pretrain-flow", "--resume")
    assert vimix(*command, finished / "moco/2-pretrain-flow", "--resume") == 0


def test_training_with_labels_wants_labels_and_splits_that_do_not_overlap(finished, place, capsys) -> None:
    stage = finished / "moco/2-pretrain-flow"
    for task in (["finetune"], ["linear-end-to-end", "--protocol", "coclr"]):
        command = ["evaluate", *task, place / "tiny.toml", stage, "--out", place / "no.json", "--device", "cpu"]
        splits = sets("data.train_split=test", "evaluate.gallery=test", "evaluate.queries=train")
        assert "nowhere" in refused(capsys, *command, *splits, "--set", "evaluate.queries=nowhere")
    assert vimix("evaluate", "finetune", place / "tiny.toml", stage, "--out", place / "no.json", *splits[:2]) == 2
    assert "are in split 'test', to train on, and in 'test'" in capsys.readouterr().err
    assert not (place / "no").exists(), "refused before anything is trained"


def test_a_baseline_from_random_weights_stands_beside_the_scores(finished, place, capsys) -> None:
    command, stage = ["evaluate", "finetune", place / "tiny.toml"], finished / "moco/2-pretrain-flow"
    scratch, tuned = place / "scratch.json", place / "beside.json"
    assert "no baseline" not in printed(capsys, *command, "--from-scratch", "flow", "--out", scratch, *QUICK)
    assert vimix(*command, stage, "--baseline", scratch, "--out", tuned, *QUICK) == 0
    assert json.loads(tuned.read_text())["untrained"] == json.loads(scratch.read_text())["scores"]
    shown = capsys.readouterr().out
    assert shown.index("supervised from random weights") < shown.index("trained with labels")
    mistakes = [
        (["--baseline", tuned], "expected one from random weights"),
        (["--baseline", place / "none.json"], "no such file"),
        (["--baseline", place / "tiny.toml"], "expected the JSON of an evaluation"),
        (["--baseline", scratch, "--set", "finetune.crops=centre"], "in crop, finetune, so"),
        (["--baseline", scratch, "--set", "augment.flip=0"], "in trained_as, so"),
        (["--baseline", scratch, "--from-scratch", "rgb"], "in modalities, so"),
    ]
    for options, told in mistakes:
        assert told in refused(capsys, *command, stage, "--out", place / "no.json", *QUICK, *options)
    assert not (place / "no").exists(), "refused before anything is trained"


def test_stages_by_hand_hand_their_checkpoints_on(place, capsys) -> None:
    recipe, out = place / "tiny.toml", place / "hand"
    for modality in ("rgb", "flow"):
        assert vimix("pretrain", recipe, "--modality", modality, "--out", out, "--device", "cpu") == 0
    inits = ["--init", out / "pretrain-rgb", "--partner-init", out / "pretrain-flow/last.pt"]
    command = ["cmmc-stage", recipe, "--train", "rgb", "--partner", "flow", *inits, "--out", out, "--device", "cpu"]
    assert vimix(*command) == 0
    assert (out / "cmmc-rgb-from-flow/last.pt").exists()
    assert "--resume" in refused(capsys, *command)
    assert vimix(*command, "--resume") == 0
    inits[1] = out / "cmmc-rgb-from-flow"
    command = ["cmmc-stage", recipe, "--train", "rgb", "--partner", "flow", *inits, "--out", out, "--device", "cpu"]
    assert "was begun with other weights of rgb" in refused(capsys, *command, "--resume")


def test_a_run_goes_on_only_on_the_data_that_it_began_with_wherever_they_lie(finished, place, capsys, tmp_path) -> None:
    shutil.copytree(finished, tmp_path / "run", symlinks=True)
    command = ["run", place / "tiny.toml", "--out", tmp_path / "run", "--device", "cpu", "--set"]
    shutil.copy(place / "s.h5", tmp_path / "moved.h5")
    assert vimix(*command, f"data.store={tmp_path / 'moved.h5'}") == 0
    assert "stage.started" not in capsys.readouterr().err
    options = ["--flow", "dis", "--short-side", 48, "--codec", "raw", "--workers", 1]
    folder, split = place / "synth/videos", ["--split", place / "synth/splits.csv"]
    other = tmp_path / "other.h5"
    assert vimix("prepare", "folder", folder, *split, "--out", other, *options, "--flow-bound", 3) == 0
    for more in ([], ["--plan"]):
        assert "1-pretrain-rgb was begun with other data" in refused(capsys, *command, f"data.store={other}", *more)
    tuned = ["evaluate", "finetune", place / "tiny.toml", "--from-scratch", "flow", "--out", tmp_path / "tuned.json"]
    tuned += [*QUICK, "--resume"]
    assert vimix(*tuned) == 0
    assert "finetune was begun with other data" in refused(capsys, *tuned, "--set", f"data.store={other}")


def test_a_video_finds_itself_in_an_index(finished, place, capsys) -> None:
    index = place / "flow.index"
    checkpoint = finished / "moco/2-pretrain-flow"
    command = ["index", "build", place / "tiny.toml", checkpoint, place / "s.h5", "--out", index, "--device", "cpu"]
    assert vimix(*command) == 0
    video = sorted((place / "synth/videos").glob("*/*.mp4"))[-1]
    query = ["index", "query", index, video, "--device", "cpu"]
    matches = json.loads(printed(capsys, *query, "-k", 3, "--json"))["matches"]
    assert len(matches) == 3
    assert matches[0]["video"] == video.relative_to(place / "synth/videos").as_posix()
    assert matches[0]["class"] == video.parent.name
    assert matches[0]["similarity"] > 0.99
    assert "nearest to" in printed(capsys, *query)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("prepare folder {0}/nowhere --out {0}/x.h5", "no such folder"),
        ("prepare folder {0}/synth/videos --out {0}/x.h5 --short-side 1", "short_side"),
        ("store info {0}/tiny.toml", "expected a store"),
        ("run {0}/none.toml --out {0}/x", "none.toml"),
        ("run {0}/tiny.toml --out {0}/x --set optim.lrr=1", "did you mean 'lr'"),
        ("run {0}/tiny.toml --out {0}/x --set data.store={0}/no.h5", "no such store"),
        (
            "run {0}/tiny.toml --out {0}/x --plan --set optim.batch=400",
            "less than a batch of 400: lower the batch size (optim.batch)",
        ),
        ("run {0}/tiny.toml --out {0}/x --set optim.batch=400", "less than a batch"),
        ("run {0}/tiny.toml --out {0}/y --device warp", "--device warp"),
        ("pretrain {0}/tiny.toml --modality depth --out {0}/x", "no modality 'depth'"),
        ("pretrain {0}/tiny.toml --modality rgb --out {0}/z --init {0}/tiny.toml", "checkpoint"),
        ("evaluate linear {0}/tiny.toml {0}/s.h5 --out {0}/x.json", "expected a whole vimix checkpoint"),
        ("evaluate finetune {0}/tiny.toml --out {0}/x.json", "nothing to train"),
        ("evaluate finetune {0}/tiny.toml --from-scratch joint --out {0}/x.json", "another modality of the recipe"),
        ("index query {0}/tiny.toml {0}/s.h5", "tiny.toml"),
        ("extract {0}/tiny.toml {0}/nowhere {0}/s.h5 --out {0}/x.pkl", "expected a name that ends in .npz, .h5, .csv"),
        ("bench-data {0}/s.h5 --workers two", "--workers two"),
        ("bench-data {0}/s.h5 --modality depth", "holds rgb, flow, not 'depth'"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_two(place, command, message, capsys) -> None:
    error = refused(capsys, *command.format(place).split())
    assert "error: " in error
    assert message in error
    assert not (place / "x.json").exists()


def test_help_is_there_before_torch_would_be() -> None:
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        code = "import sys; from vimix_adapters.cli import main; main.run.__module__; sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 1.0  # 0.3 s on a free machine; the bound only tells that nothing heavy is imported


@pytest.mark.parametrize("command", typer.main.get_command(main.app).commands)
def test_every_command_has_help(command, capsys) -> None:
    assert "Usage" in printed(capsys, command, "--help")


def test_a_run_is_evaluated_with_the_statistics_of_the_key_encoders(finished, place, capsys) -> None:
    script = runpy.run_path(str(ROOT / "experiments/key_statistics.py"))
    before = {file: file.read_bytes() for file in finished.glob("*/*/last.pt")}
    script["main"](finished, place / "key", ["vimix"])
    told = capsys.readouterr()
    assert "statistics of the key encoders" in told.out
    assert "page.not_written" not in told.out + told.err
    assert (place / "key/report.html").exists()
    assert {file: file.read_bytes() for file in finished.glob("*/*/last.pt")} == before
    run, found = read_run(finished), read_run(place / "key")
    untrained, trained = ([row for row in run.rows if row.arm == arm] for arm in ("random initialisation", "Vi-Mix"))
    assert list(found.rows[:3]) == untrained
    assert [(row.arm, row.modality) for row in found.rows[3:]] == [(row.arm, row.modality) for row in trained]
    with pytest.raises(VimixError, match=r"key/results\.json"):
        script["main"](finished, place / "key", ["vimix"])
    with pytest.raises(VimixError, match="has no arm 'other', only "):
        script["main"](finished, place / "none", ["other"])
    assert not (place / "none").exists()


def test_arms_that_are_trained_by_two_calls_at_once_equal_those_of_one(finished, place, capsys) -> None:
    run = [sys.executable, "-m", "vimix", "run", place / "tiny.toml", "--out", place / "apart", "--device", "cpu"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    calls = [subprocess.Popen([*run, "--arms", arm], **pipes) for arm in ("moco", "vimix")]
    told = [call.communicate()[0] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert all("the same call without --arms evaluates all arms" in text for text in told)
    assert not (place / "apart/results.json").exists()
    assert vimix(*run[3:]) == 0
    capsys.readouterr()
    assert read_run(place / "apart").rows == read_run(finished).rows
    for wrong, expected in (
        (["--arms", "moco,mixup"], "no arm 'mixup', only moco, vimix"),
        (["--arms", "moco", "--plan"], "leave --arms out"),
    ):
        assert expected in refused(capsys, *run[3:], *wrong)


def test_the_queue_goes_on_only_where_the_data_do(finished, place, capsys) -> None:
    split = ["--split", place / "synth/splits.csv", "--flow", "dis", "--workers", 1]
    assert vimix("prepare", "folder", place / "synth/videos", *split, "--out", place / "o.h5", "--short-side", 40) == 0
    start = ["--init", finished / "moco/1-pretrain-rgb", "--device", "cpu"]
    for name in ("s.h5", "o.h5"):
        settings = sets(f"data.store={place / name}", "pretrain.epochs=1", "pretrain.milestones=[]")
        capsys.readouterr()
        assert (
            vimix("pretrain", place / "tiny.toml", "--modality", "rgb", "--out", place / name[0], *start, *settings)
            == 0
        )
        told = "".join(capsys.readouterr())
        assert ("queue.starts_empty" in told) == (name == "o.h5")


def test_a_training_that_ended_in_a_collapse_says_so_in_the_table(finished, place, tmp_path) -> None:
    """The remark is that of the last stage of the arm that trained the encoder: here its last row of metrics."""
    run = tmp_path / "run"
    shutil.copytree(finished, run, symlinks=True)
    assert "collapsed" not in (run / "results.md").read_text()
    for stage, rank in (("vimix/1-pretrain-rgb", 9.0), ("vimix/3-cmmc-rgb-from-flow", 1.4)):
        with (run / stage / "metrics.jsonl").open("r+") as file:
            rows = [json.loads(line) | {"effective_rank": rank} for line in file]
            file.seek(0)
            file.write("".join(json.dumps(row) + "\n" for row in rows))
            file.truncate()
    assert vimix("run", place / "tiny.toml", "--out", run, "--device", "cpu") == 0
    told = [line for line in (run / "results.md").read_text().splitlines() if "collapsed" in line]
    marked = "| Vi-Mix (rgb: collapsed in training: effective rank 1.4 of 4) | rgb"
    assert [line[: len(marked) + 1] for line in told] == [f"{marked} ", f"{marked} "]


def test_a_report_shows_all_arms_and_names_what_is_missing(place, finished, capsys) -> None:
    quick = ["--device", "cpu", "--set", "evaluate.probe_inverse_regularisation=[1.0]"]
    assert vimix("report", finished, "--out", place / "page.html", "--clips", 6, *QUICK) == 0
    page = json.loads((place / "page.json").read_text())
    arms = ["random initialisation", "MoCo", "Vi-Mix"]
    for part in ("galleries", "errors", "maps", "matrices"):
        assert list(dict.fromkeys(one["arm"] for one in page[part])) == arms
    assert page["clips"] == 6
    assert page["overview"]["missing"] == []
    assert {run["recipe"] for run in page["overview"]["runs"]} == {"tiny"}
    assert page["overview"]["runs"][0]["changed"]["optim.batch"] == "4"
    scores = json.loads((finished / "results.json").read_text())["rows"][-1]["scores"]
    assert page["overview"]["lines"][-1]["scores"]["R@1"]["mean"] == scores["R@1"]
    gone = ["--set", f"data.store={place / 'gone.h5'}"]
    assert vimix("report", finished, "--out", place / "page.html", "--force", *quick, *gone) == 0
    page = json.loads((place / "page.json").read_text())
    assert page["galleries"] == []
    assert page["panels"]
    assert "gone.h5" in page["overview"]["missing"][0]


def test_modalities_are_compared_and_recorded(place, finished, capsys) -> None:
    trained = [finished / "vimix/3-cmmc-rgb-from-flow", finished / "vimix/4-cmmc-flow-from-rgb"]
    out = place / "cross-modal.json"
    assert vimix("evaluate", "cross-modal", place / "tiny.toml", *trained, "--out", out, "--device", "cpu") == 0
    record = json.loads(out.read_text())
    assert record["scores"].keys() == record["untrained"].keys()
    assert {"R@1 rgb to flow", "CKA rgb and flow", "R@1 by chance"} <= record["scores"].keys()
    assert "by chance" in capsys.readouterr().out
    alone = ["evaluate", "cross-modal", place / "tiny.toml", trained[0], "--out", place / "other.json"]
    assert "at least two" in refused(capsys, *alone)


def test_mixes_of_a_recipe_are_shown_as_a_page_and_as_a_picture(place, capsys) -> None:
    assert vimix("mix-preview", place / "tiny.toml", "--out", place / "mixes.html") == 0
    page = json.loads((place / "mixes.json").read_text())
    assert [(one["modality"], one["policy"]) for one in page["mixed"]] == [
        (modality, policy)
        for modality in ("rgb", "flow")
        for policy in ("mixup", "temporal_cutmix", "st_cutmix", "videomix")
    ]
    assert [(one["modality"], one["partner"]) for one in page["hidden"]] == [("rgb", "flow"), ("flow", "rgb")]
    assert page["clips"] == 24
    assert vimix("mix-preview", place / "tiny.toml", "--out", place / "picture.png") == 0
    assert (place / "picture.png").read_bytes().startswith(b"\x89PNG")
    with_page = json.loads((place / "picture.json").read_text())
    assert with_page["hidden"] == page["hidden"]


def test_without_workers_the_cores_of_the_job_are_used(monkeypatch) -> None:
    """A job of a cluster has a few cores of a large machine."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 5, 9}, raising=False)
    assert (worker_count(0), worker_count(2)) == (3, 2)


def test_a_recipe_without_a_mix_to_draw_is_refused(tmp_path, capsys) -> None:
    skeleton_store(tmp_path, 4, 2)
    lines = ['name = "motion"', "[data]", f'store = "{tmp_path / "s.h5"}"', "[modalities.motion]", 'encoder = "stgcn"']
    (tmp_path / "r.toml").write_text("\n".join([*lines, "[arms.a]", 'stages = [{ pretrain = "motion" }]']))
    command = ["mix-preview", tmp_path / "r.toml", "--out", tmp_path / "mix.png"]
    assert "motion is derived from joint" in refused(capsys, *command)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("report . --out page.pdf", "ends in .html"),
        ("report . --out page.html", "expected the folder of a run"),
        ("report . --out page.html --map tsne", "pca or umap"),
        ("mix-preview r.toml --out mix.gif", ".html or .png"),
    ],
)
def test_a_page_that_cannot_be_made_is_refused_in_one_line(tmp_path, monkeypatch, capsys, command, message) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(TINY.format(store="s.h5"))
    error = refused(capsys, *command.split())
    assert message in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.toml"]
