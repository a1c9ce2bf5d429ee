"""The paper's experiments on tiny data: every recipe trains, and what runs leave behind becomes tables and figures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch

from tests.builders import skeleton_store, split_store
from tests.cli import printed, refused, sets, vimix
from tests.recipes import ROOT, all_recipes, of_skeletons, on_store, shrunk
from vimix.values.modality import Modality
from vimix_adapters.commands.run import train_arms
from vimix_adapters.commands.session import open_session
from vimix_adapters.config import read_recipe, stage_identities

pytestmark = pytest.mark.slow

CPU = ["--device", "cpu"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store of 18 videos of two classes, 12 to train on, with flow."""
    return split_store(tmp_path_factory.mktemp("paper"), 9, tests=3, side=36)


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory) -> Path:
    """A store of 18 skeleton sequences of two classes, 12 to train on."""
    return skeleton_store(tmp_path_factory.mktemp("skeletons"), 18, tests=6)


def tiny(recipe: Path, store: Path, folder: Path) -> Path:
    """The recipe made small and set on the tiny store."""
    file = folder / recipe.name
    file.write_text(tomli_w.dumps(on_store(shrunk(recipe), store)))
    return file


@pytest.mark.parametrize("path", all_recipes())
def test_every_recipe_is_planned_and_takes_two_steps_of_each_stage(path, request, tmp_path, capsys) -> None:
    store = request.getfixturevalue("skeletons" if of_skeletons(path) else "store")
    assert "to do" in printed(capsys, "run", path, "--out", tmp_path / "plan", "--plan", *CPU)
    recipe = read_recipe(tiny(path, store, tmp_path), ["evaluate.knn_every=0"])
    with open_session(recipe, "cpu") as place:
        newest = train_arms(place, tmp_path / "run")
    assert newest.keys() == recipe.arms.keys()
    for arm, stages in recipe.arms.items():
        for number, stage in enumerate(stages.stages):
            (metrics,) = (tmp_path / "run" / arm).glob(f"{number + 1}-*/metrics.jsonl")
            rows = [json.loads(line) for line in metrics.read_text().splitlines()]
            assert [row["step"] for row in rows[:2]] == [1, 2], (arm, stage)
            assert all(np.isfinite(row["loss"]) for row in rows)
            assert all(0 <= row["weight"] <= 1 for row in rows)
    stages = [path for path in (tmp_path / "run").glob("*/*") if path.is_dir()]
    identities = {identity for arm in recipe.arms for identity in stage_identities(recipe, arm)}
    assert len([path for path in stages if not path.is_symlink()]) == len(identities)
    assert {Modality(m) for trained in newest.values() for m in trained} <= set(map(Modality, recipe.modalities))


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory) -> Path:
    """Table 1's recipe, two of its arms with two seeds, watched every epoch."""
    folder = tmp_path_factory.mktemp("runs")
    table = on_store(shrunk(ROOT / "experiments/table1.toml"), store)
    table["arms"] = {name: table["arms"][name] for name in ("moco", "mixup")}
    table["arms"]["mixup"]["stages"].append({"pretrain": "rgb", "epochs": 1, "milestones": []})
    table["evaluate"].update(knn_every=1, knn_videos=6)
    (folder / "table1.toml").write_text(tomli_w.dumps(table))
    assert vimix("run", folder / "table1.toml", "--out", folder / "runs/one", "--seeds", "3,5", *CPU) == 0
    return folder


def test_seeds_leave_means_deviations_and_paired_differences(runs, capsys) -> None:
    out = runs / "runs/one"
    summary = json.loads((out / "results.json").read_text())
    assert (summary["format"], summary["seeds"]) == ("vimix-summary-1", [3, 5])
    each = [json.loads((out / f"seed-{seed}/results.json").read_text())["rows"] for seed in (3, 5)]
    for row, one, two in zip(summary["rows"], *each, strict=True):
        assert row["scores"]["R@1"]["mean"] == pytest.approx((one["scores"]["R@1"] + two["scores"]["R@1"]) / 2)
        assert row["tested_on"] == one.get("tested_on", "")
    compared = {(d["arm"], d["less"], d["tested_on"], d["score"]) for d in summary["differences"]}
    assert ("Mixup", "MoCo", "", "top-1") in compared
    assert ("Mixup", "MoCo", "hmdb51", "R@1") in compared
    text = (out / "results.md").read_text()
    assert "Mixup, on hmdb51" in text
    assert "95 % confidence" in text
    assert vimix("experiments", "summarise", out / "seed-3", out / "seed-5", "--out", runs / "again") == 0
    assert json.loads((runs / "again/results.json").read_text()) == summary
    both = (out / "seed-3", out / "seed-5", "--out", runs / "against")
    assert vimix("experiments", "summarise", *both, "--against", "mixup") == 0
    assert {d["less"] for d in json.loads((runs / "against/results.json").read_text())["differences"]} == {"Mixup"}
    assert vimix("experiments", "summarise", *both, "--against", "mixupp") == 2
    assert vimix("experiments", "summarise", out / "seed-3") == 2
    twice = ("experiments", "summarise", out / "seed-3", out / "seed-3", "--out", runs / "no")
    assert "same seed" in refused(capsys, *twice)


def test_single_runs_and_seeds_do_not_share_a_folder(runs, capsys) -> None:
    """Their results have the same names; neither is begun in the other's."""
    out = runs / "runs/one"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    for arguments, told in (
        (["--out", out / "seed-3", "--seeds", 2], "is the folder of a single run"),
        (["--out", out], "holds runs of several seeds"),
    ):
        assert told in refused(capsys, "run", runs / "table1.toml", *arguments, *CPU)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_a_table_has_ours_where_there_are_runs(runs, capsys) -> None:
    table = json.loads(printed(capsys, "experiments", "table", 1, "--runs", runs, "--format", "json"))
    lines = {line["line"]: line for line in table["lines"]}
    assert lines["MoCo"]["paper"] == [38.2, 15.3, 29.1, 9.8]
    assert lines["+ VideoMix"]["ours"] == [None] * 4
    rows = [json.loads((runs / f"runs/one/seed-{seed}/results.json").read_text())["rows"] for seed in (3, 5)]
    for column, (score, place) in enumerate((("top-1", ""), ("top-1", "hmdb51"), ("R@1", ""), ("R@1", "hmdb51"))):
        cells = [r for table in rows for r in table if (r["key"], r.get("tested_on", "")) == ("mixup", place)]
        found = [cell["scores"][score] for cell in cells]
        assert len(found) == 2
        assert lines["+ Mixup"]["ours"][column]["mean"] == pytest.approx(np.mean(found))
    assert "±" in printed(capsys, "experiments", "table", 1, "--runs", runs)
    assert vimix("experiments", "table", 3, "--runs", runs, "--format", "markdown") == 0
    assert "| linear | Vi-Mix, UCF101 | 74.0 | - | 38.1 | - |" in capsys.readouterr().out
    assert vimix("experiments", "table", 1, "--runs", runs / "nowhere") == 2


MIXING = ["pretext_accuracy", "alignment", "uniformity", "effective_rank", "bn_mean_gap", "bn_variance_ratio"]


@pytest.mark.parametrize(
    ("name", "quantities"), [("2", ["knn_accuracy"]), ("3", ["loss", "pretext_accuracy"]), ("mixing", MIXING)]
)
def test_figures_are_drawn_from_metrics(runs, name, quantities, capsys) -> None:
    picture = runs / f"figure{name}.png"
    assert vimix("experiments", "figure", name, "--runs", runs / "runs", "--out", picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    panels = json.loads(picture.with_suffix(".json").read_text())["panels"]
    assert [panel["quantity"] for panel in panels] == quantities
    for panel in panels:
        assert panel["arms"]
        for arm, curves in panel["arms"].items():
            assert {curve["seed"] for curve in curves} == {3, 5}
            assert arm in shown
    command = ["experiments", "figure", name, "--runs", runs / "runs", "--out", runs / "no.png", "--modality", "flow"]
    assert "no run below it has" in refused(capsys, *command)
    assert not (runs / "no.png").exists()


def test_what_a_runs_stages_came_to_is_a_table(runs, capsys) -> None:
    file = runs / "stages.json"
    assert vimix("experiments", "stages", runs / "runs/one", "--out", file) == 0
    content = json.loads(file.read_text())
    assert content["seeds"] == [3, 5]
    assert all(len(line["values"]["loss"]) == 2 for line in content["stages"])
    shares = {line["arm"]: line["values"]["weight"] for line in content["stages"]}
    shown = capsys.readouterr().out
    assert all(arm in shown for arm in shares)
    assert shares["MoCo"] == [1.0, 1.0]
    assert all(0 < share < 1 for share in shares["Mixup"])


def test_protocols_and_other_data_sets_are_named_in_the_record(runs) -> None:
    recipe, stage, out = runs / "table1.toml", runs / "runs/one/seed-3/mixup/2-pretrain-rgb", runs / "r.json"
    short = ["--set", "evaluate.linear_epochs=6", *CPU]
    command = ["evaluate", "linear", recipe, stage, "--out", out, "--protocol", "coclr", "--on", "hmdb51"]
    assert vimix(*command, "--best-on-test", *short) == 0
    record = json.loads(out.read_text())
    assert (record["recipe"], record["tested_on"]) == ("table1", "hmdb51")
    protocol = record["protocol"]
    assert (protocol["name"], protocol["crop_share"], protocol["unit_clips"]) == ("coclr", 0.875, True)
    assert protocol["probe"]["rgb"]["lr"] == 1.0
    assert protocol["changed_by_the_recipe"] == ["probe", "end_to_end"]
    assert record["best_on_test"]["top-1"] >= record["scores"]["top-1"]
    assert vimix("evaluate", "retrieval", recipe, stage, "--out", out, "--force", "--protocol", "coclr", *CPU) == 0
    assert json.loads(out.read_text())["protocol"]["centred"] == "gallery and queries each by their own mean"


def test_best_on_test_and_unknown_data_sets_are_refused(runs, capsys) -> None:
    recipe, stage = runs / "table1.toml", runs / "runs/one/seed-3/moco/1-pretrain-rgb"
    command = ["evaluate", "linear", recipe, stage, "--out", runs / "no.json", *CPU]
    assert "chooses nothing on test" in refused(capsys, *command, "--best-on-test")
    assert "which has hmdb51" in refused(capsys, *command, "--on", "kinetics")
    assert "evaluate.protocol: expected one of" in refused(capsys, *command, "--protocol", "byol")
    assert not (runs / "no.json").exists()


def test_a_layer_is_trained_end_to_end_on_a_frozen_encoder(runs) -> None:
    recipe, stage, out = runs / "table1.toml", runs / "runs/one/seed-3/moco/1-pretrain-rgb", runs / "layer.json"
    command = ["evaluate", "linear-end-to-end", recipe, stage, "--out", out, "--set", "evaluate.linear_epochs=2", *CPU]
    assert vimix(*command) == 0
    record = json.loads(out.read_text())
    assert record["task"] == "linear-end-to-end"
    assert record["protocol"]["end_to_end"]["epochs"] == 2
    trained = torch.load(runs / "layer/rgb/last.pt", weights_only=True)["parts"]["classifier"]
    before = torch.load(stage / "last.pt", weights_only=True)["parts"]["query"]
    encoder = {name: value for name, value in trained.items() if name.startswith("encoder.")}
    assert encoder
    assert all(torch.equal(value, before[name]) for name, value in encoder.items())


def test_one_stage_of_manifold_mixup_needs_no_partner(runs, capsys) -> None:
    stage, out = runs / "runs/one/seed-3/moco/1-pretrain-rgb", runs / "hand"
    quick = [*sets("cmmc.epochs=1", "cmmc.milestones=[]"), *CPU]
    command = ["cmmc-stage", runs / "table1.toml", "--train", "rgb", "--init", stage, "--out", out, *quick]
    assert "only policy = 'manifold_mixup' mixes without another modality" in refused(capsys, *command)
    assert vimix(*command, "--set", "cmmc.mix.policy=manifold_mixup") == 0
    assert (out / "manifold-rgb/last.pt").exists()


def test_arms_that_begin_alike_share_their_stages_by_a_link_that_can_be_moved(store, tmp_path, capsys) -> None:
    table = on_store(shrunk(ROOT / "experiments/table2.toml"), store)
    table["arms"] = {name: table["arms"][name] for name in ("not_alternate", "mixup_only")}
    table["arms"]["mixup_only"]["stages"] = [*table["arms"]["not_alternate"]["stages"][:2]]
    table["evaluate"].update(knn_every=0, stores={})
    (tmp_path / "r.toml").write_text(tomli_w.dumps(table))
    assert vimix("run", tmp_path / "r.toml", "--out", tmp_path / "run", *CPU) == 0
    link = tmp_path / "run/mixup_only/2-pretrain-flow"
    assert link.is_symlink()
    shutil.move(tmp_path / "run", tmp_path / "moved")
    moved = tmp_path / "moved/mixup_only/2-pretrain-flow/last.pt"
    assert moved.samefile(tmp_path / "moved/not_alternate/2-pretrain-flow/last.pt")
    rows = json.loads((tmp_path / "moved/results.json").read_text())["rows"]
    flow = [row["scores"] for row in rows if row["modality"] == "flow" and row["key"] != "random initialisation"]
    assert flow[0] == flow[1]
    plan = ["run", tmp_path / "r.toml", "--out", tmp_path / "fresh", "--plan", "--seeds", 3, *CPU]
    shown = " ".join(printed(capsys, *plan).split())
    assert "as in" in shown
    assert "3 seeds, each as much" in shown
