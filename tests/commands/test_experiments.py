"""Seeds, the paper's numbers and its figures, and the mean weights of the method, section 4."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from attrs import asdict, evolve
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from tests.cli import printed, refused, vimix
from tests.recipes import ROOT, of_skeletons
from tests.unit.test_reports import picture, share
from vimix.domain.mixing.policies import EXTENTS
from vimix.values.errors import VimixError
from vimix_adapters.commands.mix_weights import mix_weights
from vimix_adapters.commands.paper_figures import draw_figure, draw_training, show_stages
from vimix_adapters.commands.paper_tables import RecordedResults, find_results, print_table, summarise
from vimix_adapters.config import PROTOCOLS, read_recipe, recipe_from_toml, recipe_to_toml
from vimix_adapters.reports.curves import read_metrics
from vimix_adapters.reports.figures import Curve, Panel, mean_curve, panel_table
from vimix_adapters.reports.paper import Source, filled, markdown, paper_numbers, paper_table, plain
from vimix_adapters.reports.recorded import decided_markdown, read_record, recorded_runs
from vimix_adapters.reports.results import ResultRecord, write_results
from vimix_adapters.reports.summaries import (
    RunResults,
    by_seed,
    mean_and_deviation,
    paired_difference,
    read_run,
    require_place_for_run,
    write_summary,
)
from vimix_adapters.reports.tables import Row, write_tables

values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@given(ones=values, seed=st.integers(0, 99))
def test_a_paired_difference_is_students(ones, seed) -> None:
    others = [
        value + noise for value, noise in zip(ones, np.random.default_rng(seed).normal(size=len(ones)), strict=True)
    ]
    found = paired_difference(ones, others)
    expected = ttest_rel(ones, others).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(ones) - np.mean(others))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert paired_difference(ones[:1], others[:1]) is None


def test_a_single_run_has_no_deviation_and_several_that_of_a_sample() -> None:
    assert mean_and_deviation([0.5]) == (0.5, None)
    assert mean_and_deviation([0.1, 0.3]) == pytest.approx((0.2, math.sqrt(0.02)))


def run(seed: int, shift: float = 0.0, recipe: str = "r") -> RunResults:
    rows = [
        Row("random initialisation", "rgb", {"R@1": 0.1}, "random initialisation"),
        Row("MoCo", "rgb", {"R@1": 0.2 + seed / 10, "top-1": 0.3}, "moco"),
        Row("Vi-Mix", "rgb", {"R@1": 0.2 + seed / 10 + 0.05 + shift, "top-1": 0.3}, "vimix"),
        Row("Vi-Mix", "rgb", {"R@1": 0.5}, "vimix", "hmdb51"),
    ]
    return RunResults(Path(f"run{seed}"), recipe, seed, rows)


def test_arms_are_compared_seed_by_seed_with_the_first_arm(tmp_path) -> None:
    """Seeds differ by ten points, the arms by five in each of them: the pairs tell, the means alone would not."""
    text = write_summary(tmp_path, [run(0), run(1, 0.01), run(2, -0.01)])
    content = json.loads((tmp_path / "results.json").read_text())
    (gain,) = [d for d in content["differences"] if d["arm"] == "Vi-Mix" and d["score"] == "R@1"]
    assert gain["less"] == "MoCo"
    assert gain["mean"] == pytest.approx(0.05)
    assert 0.02 < gain["low"] < gain["high"] < 0.08
    assert "| Vi-Mix | rgb | R@1 | +5.0 |" in text
    assert "| MoCo | rgb | 30.0 ± 10.0 |" in text
    assert any(row["tested_on"] == "hmdb51" for row in content["rows"])


def test_runs_on_different_data_are_no_sample(tmp_path) -> None:
    """Another split of the same videos is other data; results of early versions do not say theirs."""
    runs = [evolve(run(seed), data=data) for seed, data in enumerate(("a1", "a1", "", "b2"))]
    write_summary(tmp_path, runs[:3])
    with pytest.raises(VimixError, match=r"different data, so their scores do not compare: .*run3 on b2"):
        write_summary(tmp_path, runs)


def test_arms_are_compared_with_the_one_that_is_asked_for(tmp_path) -> None:
    runs = [run(0), run(1, 0.01), run(2, -0.01)]
    assert "| MoCo | rgb | R@1 | -5.0 |" in write_summary(tmp_path, runs, against="vimix")
    content = json.loads((tmp_path / "results.json").read_text())
    assert {d["less"] for d in content["differences"]} == {"Vi-Mix"}
    untrained = write_summary(tmp_path, runs, against="random initialisation")
    assert "| Vi-Mix | rgb | R@1 | +25.0 |" in untrained
    with pytest.raises(VimixError, match="no such arm; it has random initialisation, moco, vimix"):
        write_summary(tmp_path, runs, against="mocco")


def of_rows(seed: int, *rows: Row) -> RunResults:
    return RunResults(Path(f"run{seed}"), "r", seed, rows)


def test_rows_are_matched_by_arm_and_streams_whatever_they_are_called(tmp_path) -> None:
    """One arm trained motion first, and two say the same about themselves; a later run calls the arm otherwise."""
    runs = [
        of_rows(
            seed,
            Row("MoCo", "joint + motion", {"R@1": 0.2 + seed / 10}, "moco"),
            Row("Vi-Mix", "motion + joint", {"R@1": 0.3 + seed / 10}, "short"),
            Row("Vi-Mix" if seed else "Vi-Mix, long", "joint + motion", {"R@1": 0.4 + seed / 10}, "long"),
        )
        for seed in (2, 1, 0)
    ]
    text = write_summary(tmp_path, runs)
    assert "| Vi-Mix (short) | motion + joint | 40.0 ± 10.0 |" in text
    assert "| Vi-Mix (long) | joint + motion | 50.0 ± 10.0 |" in text
    assert "| Vi-Mix (short) | motion + joint | R@1 | +10.0 |" in text
    assert "| Vi-Mix (long) | joint + motion | R@1 | +20.0 |" in text
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["key"] for row in rows] == ["moco", "short", "long"]


def test_older_results_without_names_are_summarised_by_title_unless_one_stands_for_two(tmp_path) -> None:
    old = of_rows(0, Row("MoCo", "rgb", {"R@1": 0.2}), Row("Vi-Mix", "rgb", {"R@1": 0.4}))
    new = of_rows(1, Row("MoCo", "rgb", {"R@1": 0.3}, "moco"), Row("Vi-Mix", "rgb", {"R@1": 0.6}, "vimix"))
    text = write_summary(tmp_path, [old, new])
    assert "| MoCo | rgb | 25.0 ± 7.1 |" in text
    assert "| Vi-Mix | rgb | R@1 | +25.0 |" in text
    twice = of_rows(0, *old.rows, Row("Vi-Mix", "rgb", {"R@1": 0.5}))
    with pytest.raises(VimixError, match=r"run0/results\.json: expected one row of Vi-Mix, rgb, found two"):
        by_seed([twice, new])


def test_one_seed_twice_or_two_recipes_are_no_sample() -> None:
    with pytest.raises(VimixError, match="same seed"):
        by_seed([run(1), run(1)])
    with pytest.raises(VimixError, match="different recipes: a, b"):
        by_seed([run(1, recipe="a"), run(2, recipe="b")])


def test_results_of_a_run_are_read_back_and_others_refused(tmp_path) -> None:
    write_tables(tmp_path, run(4).rows, {"seed": 4, "name": "r"})
    found = read_run(tmp_path)
    assert (found.seed, found.recipe, list(found.rows)) == (4, "r", list(run(4).rows))
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(VimixError, match="expected vimix-table-1, found None"):
        read_run(tmp_path)


def test_a_summary_never_replaces_the_results_of_a_run(tmp_path) -> None:
    for seed in (0, 1):
        write_tables(tmp_path / f"seed-{seed}", run(seed).rows, {"seed": seed, "name": "r"})
    (tmp_path / "seed-0/recipe.toml").touch()
    before = (tmp_path / "seed-0/results.json").read_bytes()
    with pytest.raises(VimixError, match="folder of a single run"):
        summarise([tmp_path], tmp_path / "seed-0", force=True)
    with pytest.raises(VimixError, match=r"seed-1/results\.json exists: .*--force"):
        summarise([tmp_path], tmp_path / "seed-1")
    assert (tmp_path / "seed-0/results.json").read_bytes() == before
    summarise([tmp_path], None)
    with pytest.raises(VimixError, match=r"results\.json exists: .*--force"):
        summarise([tmp_path], None)
    summarise([tmp_path], None, force=True)


def test_a_recorded_summary_stands_for_its_runs_and_takes_more(tmp_path) -> None:
    """Runs are lost with their machine, the record is not: with one more run it gives what all runs give."""
    failed = "collapsed in training: effective rank 1.4 of 128"
    for seed in (0, 1, 2, 3):
        rows = run(seed, seed / 100).rows
        rows = [*rows[:-1], evolve(rows[-1], remark=failed if seed == 1 else "")]
        write_tables(tmp_path / f"all/seed-{seed}", rows, {"seed": seed, "name": "r", "data": "a1"})
    summarise([tmp_path / "all"], tmp_path / "whole", "vimix")
    summarise([tmp_path / f"all/seed-{seed}" for seed in (3, 1, 0)], tmp_path / "part")
    record = tmp_path / "part/results.json"
    summarise([record, tmp_path / "all/seed-2"], tmp_path / "joined", "vimix")
    assert (tmp_path / "joined/results.json").read_text() == (tmp_path / "whole/results.json").read_text()
    assert failed in (tmp_path / "joined/results.md").read_text()
    with pytest.raises(VimixError, match="same seed"):
        summarise([record, tmp_path / "all/seed-3"], tmp_path / "twice")
    with pytest.raises(VimixError, match="--out is missing"):
        summarise([record], None)


COMPARED = ("mean", "low", "high")
RECORDS = sorted((ROOT / "experiments/records").glob("*-seeds-*.json"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda file: file.stem)
def test_the_records_of_the_project_agree_with_the_scores_of_their_seeds(record, tmp_path) -> None:
    """Means, deviations and intervals that stand in the documentation can be computed again from what is committed."""
    recorded = json.loads(record.read_text())
    titles = {row["arm"]: row.get("key") or row["arm"] for row in recorded["rows"]}
    (less,) = {difference["less"] for difference in recorded["differences"]}
    summarise([record], tmp_path / "again", titles[less])
    again = json.loads((tmp_path / "again/results.json").read_text())
    for found, expected in zip(again["rows"], recorded["rows"], strict=True):
        for name, spread in expected["scores"].items():
            assert found["scores"][name]["mean"] == pytest.approx(spread["mean"]), (found["arm"], name)
            assert found["scores"][name]["deviation"] == pytest.approx(spread["deviation"]), (found["arm"], name)
    for found, expected in zip(again["differences"], recorded["differences"], strict=True):
        assert {name: expected[name] for name in COMPARED} == pytest.approx({name: found[name] for name in COMPARED})


def test_a_run_is_not_begun_among_results_of_other_runs(tmp_path) -> None:
    write_tables(tmp_path / "copied", run(0).rows, {"seed": 0})
    (tmp_path / "seeds/seed-0").mkdir(parents=True)
    (tmp_path / "seeds/seed-0/recipe.toml").touch()
    for folder, message in (("copied", "is not of a run in this folder"), ("seeds", "holds runs of several seeds")):
        with pytest.raises(VimixError, match=message):
            require_place_for_run(tmp_path / folder)
    (tmp_path / "copied/recipe.toml").touch()
    require_place_for_run(tmp_path / "copied")


def test_the_papers_numbers_are_all_there() -> None:
    """Counted in the paper: rows and columns of each table; some cells of each as printed.

    Tables 3 to 5 have 4, 1 and 1 more of ours, for Vi-Mix with mining.
    """
    sizes = {number: (len(t.lines), len(t.columns)) for number in range(1, 6) if (t := paper_table(number))}
    assert sizes == {1: (5, 4), 2: (21, 4), 3: (23 + 4, 2), 4: (9 + 1, 8), 5: (9 + 1, 2)}
    assert all(len(line.cells) == len(paper_table(n).columns) for n in sizes for line in paper_table(n).lines)
    cells = {(n, line.block, line.name): [c.paper for c in line.cells] for n in sizes for line in paper_table(n).lines}
    assert cells[1, "", "+ ST cutmix"] == [19.8, 14.3, 32.6, 14.3]
    assert cells[2, "flow", "+ CM cutmix (s, t)"] == [71.8, 34.7, 52.7, 23.1]
    assert cells[2, "two-stream", "+ CM cutmix (s, t, c, random layer)"] == [74.0, 38.1, 58.1, 27.1]
    assert cells[3, "finetune", "Vi-Mix, K400"] == [91.1, 62.3]
    assert cells[4, "", "Vi-Mix"] == [58.1, 76.5, 83.4, 88.7, 27.1, 50.7, 65.1, 77.1]
    assert cells[5, "", "SkeletonCLR + CMMC, joint + motion"] == [72.5, 79.1]
    every = [number for row in cells.values() for number in row if not math.isnan(number)]
    assert all(5 < number < 100 for number in every)
    # Table 3's linear Vi-Mix and Table 4's R@1 are Table 2's two-stream row: the paper says one thing three times.
    both = paper_numbers()["table2"]["two_stream"]["cmmc"]
    assert paper_numbers()["table3"]["linear"]["vimix_ucf101"] == both[:2]
    assert [paper_numbers()["table4"]["vimix"][name][0] for name in ("ucf101", "hmdb51")] == both[2:]


@pytest.mark.slow
def test_every_number_of_ours_has_a_recipe_with_that_arm_and_data_set() -> None:
    sources = {c.source for n in range(1, 6) for line in paper_table(n).lines for c in line.cells if c.source}
    mining = 2 * 8 + 2 * 8 + 3 * 2  # CoCLR, CrosSCLR and Vi-Mix + mining in Tables 3, 4 and 5
    assert len(sources) == 20 + 84 + (8 - 2) + (8 - 2) + 4 + mining  # Tables 3 and 4 show two numbers of Table 2 each
    for source in sources:
        path = ROOT / f"experiments/{source.recipe}.toml"
        text = path.read_text(encoding="utf-8")
        assert f"[arms.{source.arm}]" in text
        assert all(f"[modalities.{modality}]" in text for modality in source.modality.split(" + "))
        if not of_skeletons(path):
            recipe = read_recipe(path)
            assert source.arm in recipe.arms
            assert source.tested_on in {"", *recipe.evaluate.stores}
            stages = recipe.arms[source.arm].stages
            trained = list(dict.fromkeys(getattr(stage, "pretrain", None) or stage.cmmc for stage in stages))
            assert source.modality in {*trained, " + ".join(trained)}


def test_ours_stand_where_they_were_measured_and_nowhere_else() -> None:
    wanted = Source("table2", "cmmc", "flow", "R@1", "hmdb51")
    found = filled(paper_table(2), lambda source: [0.2, 0.3] if source == wanted else [])
    lines = [line for line in found.texts() if "25.0 ± 7.1" in line]
    assert [(line[0], line[1]) for line in lines] == [("flow", "+ CM cutmix (s, t, c, random layer)")]
    assert lines[0][2:] == ["72.4", "-", "34.9", "-", "53.9", "-", "23.1", "25.0 ± 7.1"]
    assert markdown(found).count("25.0 ± 7.1") == 1
    data = plain(filled(paper_table(5), lambda _: []))
    assert data["lines"][1]["paper"] == [52.6, None]


def test_another_recipe_fills_the_columns_of_its_own_data_set_and_no_other() -> None:
    moved = paper_table(2).from_recipe("ablation")
    assert list(moved.columns) == ["linear UCF101", "R@1 UCF101"]
    assert len(moved.lines) == len(paper_table(2).lines)
    wanted = Source("ablation", "cm_mixup", "rgb + flow", "R@1")
    found = filled(moved, lambda source: [0.2, 0.3] if source == wanted else [])
    (line,) = [line for line in found.texts() if "25.0 ± 7.1" in line]
    assert line == ["two-stream", "+ CM mixup", "72.2", "-", "56.1", "25.0 ± 7.1"]
    ours = "ours (ablation; its own data)"  # UCF101 is the paper's column alone
    assert found.headings[2:] == ["linear UCF101, paper", ours, "R@1 UCF101, paper", ours]
    on_flow = paper_table(1).from_recipe("ablation", "flow")
    assert {cell.source.modality for line in on_flow.lines for cell in line.cells} == {"flow"}
    # Table 5's second column belongs to another recipe, and the peers' lines to none.
    skeletons = paper_table(5).from_recipe("ablation-skeleton")
    assert list(skeletons.columns) == ["xsub"]
    assert [line.name for line in skeletons.lines if line.cells[0].source] == [
        "SkeletonCLR, joint + motion",
        "SkeletonCLR + CMMC, joint + motion",
    ]


def test_a_recipe_that_was_not_run_is_refused_with_those_that_were(tmp_path) -> None:
    with pytest.raises(VimixError, match=r"--recipe ablatoin: no run of it below .*; there are runs of nothing"):
        print_table(2, tmp_path, "markdown", None, recipe="ablatoin")


def test_the_ablations_have_an_arm_for_every_line_of_tables_1_2_and_5() -> None:
    for number, name, modality in (
        (1, "ablation", "flow"),
        (2, "ablation", None),
        (5, "ablation-skeleton", None),
        (5, "ablation-skeleton-embedded", None),
        (5, "ablation-skeleton-long", None),
    ):
        text = (ROOT / f"experiments/{name}.toml").read_text(encoding="utf-8")
        table = paper_table(number).from_recipe(name, modality)
        assert all(f"[arms.{c.source.arm}]" in text for line in table.lines for c in line.cells if c.source)


FINETUNE = asdict(PROTOCOLS["vimix"].finetuning["planes"])
VIMIX = {"arm": "cmmc", "stage": "cmmc", "seed": 1, "epochs": 2, "steps_per_epoch": 3, "steps": 6}
"""What a checkpoint of Vi-Mix says of itself."""


def record(**changes) -> ResultRecord:
    parts = {
        "task": "finetune",
        "scores": {"top-1": 0.8, "top-5": 0.9},
        "untrained": {},
        "protocol": {"name": "vimix", "changed_by_the_recipe": [], "finetune": {"rgb": FINETUNE, "flow": FINETUNE}},
        "videos": {},
        "seed": 1,
        "data": "x",
        "checkpoints": {"rgb": VIMIX, "flow": VIMIX},
        "recipe": "table2",
        "tested_on": "hmdb51",
    }
    return ResultRecord(**{**parts, **changes})


def test_records_of_finetuning_fill_table_3_but_not_those_from_random_weights(tmp_path) -> None:
    write_results(tmp_path / "a/tuned.json", record(checkpoints={"flow": VIMIX, "rgb": VIMIX}))
    write_results(tmp_path / "b/scratch.json", record(checkpoints={"rgb": {"init": "random"}, "flow": {}}, seed=2))
    write_results(tmp_path / "b/rgb.json", record(checkpoints={"rgb": {}}, seed=3))
    write_results(tmp_path / "b/ucf.json", record(tested_on="", seed=4, scores={"top-1": 0.7}))
    (tmp_path / "foreign.json").write_text("[1, 2")
    found = filled(paper_table(3), find_results(tmp_path).values)
    (line,) = [line for line in found.texts() if line[:2] == ["finetune", "Vi-Mix, UCF101"]]
    assert line[2:] == ["87.5", "70.0", "59.1", "80.0"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"checkpoints": {"rgb": VIMIX, "flow": {**VIMIX, "arm": "moco"}}}, "flow is of arm moco, but the row of cmmc"),
        ({"checkpoints": {"rgb": {"stage": "imported"}, "flow": VIMIX}}, "rgb is of arm none, but the row of cmmc"),
        ({"checkpoints": {"rgb": {**VIMIX, "steps": 5}, "flow": VIMIX}}, "rgb was not trained to the end"),
        ({"checkpoints": {"rgb": {**VIMIX, "stages_to_come": 1}, "flow": VIMIX}}, "rgb was not trained to the end"),
        ({"checkpoints": {"rgb": VIMIX, "flow": {**VIMIX, "seed": 2}}}, "different seeds"),
        ({"protocol": {"name": "coclr", "changed_by_the_recipe": []}}, "protocol coclr, the row's is vimix"),
        ({"protocol": {"name": "vimix", "changed_by_the_recipe": ["window_stride"]}}, r"protocol \(window_stride\)"),
        (
            {"protocol": {"name": "vimix", "finetune": {"rgb": FINETUNE, "flow": {**FINETUNE, "epochs": 2}}}},
            "finetune.epochs = 2, the row's is 500",
        ),
        ({"protocol": {"name": "vimix", "finetune": {**FINETUNE, "crops": "centre"}}}, "finetune.crops = centre"),
        ({"scores": {"top-5": 0.9}}, ""),
    ],
)
def test_a_record_of_something_else_does_not_fill_table_3(tmp_path, capsys, changes, reason) -> None:
    """Another arm, encoders of other people or half trained, another protocol: each is told, and left out."""
    write_results(tmp_path / "other.json", record(**changes))
    assert find_results(tmp_path).values(FINETUNED) == []
    assert re.search(f"record.left_out.*{reason}" if reason else "", capsys.readouterr().out)


def test_encoders_of_two_seeds_finetuned_with_one_are_two_values(tmp_path) -> None:
    for seed, value in ((0, 0.25), (1, 0.5)):
        encoder = {**VIMIX, "seed": seed}
        write_results(
            tmp_path / f"{seed}.json", record(scores={"top-1": value}, checkpoints={"rgb": encoder, "flow": encoder})
        )
    assert find_results(tmp_path).values(FINETUNED) == [0.25, 0.5]


FINETUNED = Source("table2", "cmmc", "rgb + flow", "top-1", "hmdb51", "finetune")


def test_of_two_runs_with_one_seed_the_newer_counts(tmp_path) -> None:
    for number, value in enumerate((0.25, 0.5)):
        write_tables(tmp_path / f"{number}", [Row("A", "rgb", {"R@1": value}, "moco")], {"seed": 0, "name": "table1"})
    found = find_results(tmp_path)
    assert found.values(Source("table1", "moco", "rgb", "R@1")) == [0.5]
    assert RecordedResults([], []).values(Source("table1", "moco", "rgb", "R@1")) == []


def test_streams_fill_a_table_in_either_order(tmp_path) -> None:
    row = Row("Vi-Mix", "motion + joint", {"top-1": 0.5}, "vimix")
    write_tables(tmp_path, [row], {"seed": 0, "name": "table5-xsub"})
    assert find_results(tmp_path).values(Source("table5-xsub", "vimix", "joint + motion", "top-1")) == [0.5]


def test_a_mean_curve_is_taken_where_all_seeds_were_measured() -> None:
    one = Curve(np.array([1.0, 2, 3]), np.array([0.1, 0.2, 0.3]))
    two = Curve(np.array([2.0, 3, 4]), np.array([0.4, 0.5, 0.6]))
    mean = mean_curve([one, two])
    assert mean.epochs.tolist() == [2, 3]
    assert mean.values == pytest.approx([0.3, 0.4])


def test_epochs_count_over_all_stages_of_one_encoder(tmp_path) -> None:
    """rgb: 2 epochs, then 3 after flow's; its curve goes on at epoch 3, and flow's rows are not in it."""
    recipe = """
name = "x"
seed = 7
[data]
store = "s.h5"
[modalities.rgb]
[modalities.flow]
channels = 2
[arms.a]
about = "A"
stages = [
  { pretrain = "rgb", epochs = 2, milestones = [] },
  { pretrain = "flow", epochs = 1, milestones = [] },
  { cmmc = "rgb", partner = "flow", epochs = 3, milestones = [] },
]
"""
    points = {
        "1-pretrain-rgb": [(0, 0.1), (1, 0.2)],
        "2-pretrain-flow": [(0, 9.0)],
        "3-cmmc-rgb-from-flow": [(1, 0.4), (2, 0.5)],
    }
    rows = {stage: [{"epoch": float(e), "knn_accuracy": v} for e, v in found] for stage, found in points.items()}
    trained(tmp_path, 7, rows, text=recipe)
    assert len(read_metrics(tmp_path / "a/1-pretrain-rgb/metrics.jsonl")) == 2
    draw_figure("2", tmp_path, tmp_path / "f.png", "rgb", [])
    content = json.loads((tmp_path / "f.json").read_text())
    assert (content["format"], content["figure"], content["modality"]) == ("vimix-figure-1", "2", "rgb")
    (panel,) = content["panels"]
    assert panel["quantity"] == "knn_accuracy"
    assert panel["arms"] == {"A": [{"seed": 7, "epochs": [1, 2, 4, 5], "values": [0.1, 0.2, 0.4, 0.5]}]}
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_has_a_row_of_curves_for_each_modality_that_was_trained(tmp_path) -> None:
    """Without metrics there is no picture; an arm has one colour in all of them, and a line as long as its rows."""
    text = TWO_STAGES.format(name="x", seed=1).replace("[arms.a]", "[modalities.flow]\nchannels = 2\n[arms.a]")
    text += "[arms.flow]\nstages = [{ pretrain = 'flow', epochs = 9, milestones = [] }]\n"
    rows = [{"epoch": float(e), "loss": 3 - e / 9, "pretext_accuracy": e / 9} for e in range(9)]
    found = {}
    for name, stages in {
        "nothing": {},
        "rgb": {"never/1-pretrain-rgb": rows},
        "one epoch": {"never/1-pretrain-rgb": rows[:1]},
        "both": {"never/1-pretrain-rgb": rows, "flow/1-pretrain-flow": rows},
    }.items():
        draw_training(recipe_from_toml(text, "r"), trained(tmp_path / name, 1, stages, text=text))
        if (tmp_path / name / "curves.png").exists():
            image = picture(tmp_path / name / "curves.png")
            found[name] = len(image), *(image.size * share(image, c) for c in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)))
    assert set(found) == {"rgb", "one epoch", "both"}
    assert found["both"][0] == 2 * found["rgb"][0] == 2 * found["one epoch"][0]
    assert found["rgb"][1] > 3 * found["one epoch"][1] > 0
    assert found["rgb"][2] == 0
    assert found["both"][1] == pytest.approx(found["both"][2], rel=0.2)
    assert found["both"][1] == pytest.approx(found["rgb"][1], rel=0.2)


TWO_STAGES = """
name = "{name}"
seed = {seed}
[data]
store = "s.h5"
[modalities.rgb]
[arms.a]
about = "A"
stages = [
  {{ pretrain = "rgb", epochs = 2, milestones = [] }},
  {{ cmmc = "rgb", epochs = 3, milestones = [], mix = {{ policy = "manifold_mixup" }} }},
]
[arms.never]
about = "not yet begun"
stages = [{{ pretrain = "rgb", epochs = 9, milestones = [] }}]
"""


def test_arms_that_say_the_same_about_themselves_have_curves_of_their_own(tmp_path) -> None:
    text = TWO_STAGES.format(name="x", seed=1).replace("not yet begun", "A")
    recipe = recipe_from_toml(text, "r")
    titles = [recipe.title(arm) for arm in ("a", "never", "random initialisation")]
    assert titles == ["A (a)", "A (never)", "random initialisation"]
    rows = {f"{arm}/1-pretrain-rgb": [{"knn_accuracy": value}] for arm, value in (("a", 0.5), ("never", 0.75))}
    trained(tmp_path / "x", 1, rows, text=text)
    draw_figure("2", tmp_path, tmp_path / "f.png", "rgb", [])
    (panel,) = json.loads((tmp_path / "f.json").read_text())["panels"]
    assert {arm: curve["values"] for arm, (curve,) in panel["arms"].items()} == {"A (a)": [0.5], "A (never)": [0.75]}


def trained(
    folder: Path, seed: int, stages: dict[str, list[dict[str, float]]], name: str = "x", text: str = ""
) -> Path:
    """A run of the recipe ``text`` whose stages left these rows of metrics; those of arm a, or ``ARM/STAGE``."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = recipe_from_toml(text or TWO_STAGES.format(name=name, seed=seed), "r")
    (folder / "recipe.toml").write_text(recipe_to_toml(recipe))
    for stage, rows in stages.items():
        place = folder / (stage if "/" in stage else f"a/{stage}")
        place.mkdir(parents=True)
        lines = [json.dumps({"step": n + 1, "epoch": float(n // 10), **row}) + "\n" for n, row in enumerate(rows)]
        (place / "metrics.jsonl").write_text("".join(lines))
    return folder


def test_stages_tell_how_training_ended_and_how_much_was_mixed(tmp_path, capsys) -> None:
    """Loss: the mean of the last tenth of twenty rows, two; the share: of all; kNN: the last row that has it."""
    rows = [{"loss": 3.0, "weight": 0.5, "bad_steps": 0.0} for _ in range(17)]
    rows += [{"loss": 9.0, "weight": 0.8, "knn_accuracy": 0.25, "bad_steps": 1.0}]
    rows += [{"loss": 1.0, "weight": 0.8, "bad_steps": 2.0}, {"loss": 2.0, "weight": 0.9, "bad_steps": 2.0}]
    one = trained(tmp_path / "seed-1", 1, {"1-pretrain-rgb": rows})
    two = trained(tmp_path / "seed-2", 2, {"1-pretrain-rgb": [{"loss": 2.5, "weight": 0.7, "bad_steps": 0.0}]})
    show_stages([one, two], tmp_path / "stages.json")
    content = json.loads((tmp_path / "stages.json").read_text())
    assert (content["format"], content["recipe"], content["seeds"]) == ("vimix-stages-1", "x", [1, 2])
    (line,) = content["stages"]
    assert (line["arm"], line["stage"], line["epochs"]) == ("A", "1-pretrain-rgb", 2)
    share = (17 * 0.5 + 0.8 + 0.8 + 0.9) / 20
    expected = {"loss": [1.5, 2.5], "weight": [share, 0.7], "knn_accuracy": [0.25, None], "bad_steps": [2.0, 0.0]}
    assert line["values"] == {name: pytest.approx(values) for name, values in expected.items()}
    assert line["reached"] == [2, 1]
    shown = capsys.readouterr().out
    assert "2.00 ± 0.71" in shown  # of the losses
    assert "1 of 2" in shown
    assert "not yet begun" not in shown
    assert "effective rank" not in shown  # which no row has
    show_stages([tmp_path], None)
    assert "2.00 ± 0.71" in capsys.readouterr().out


def test_what_a_joint_stage_measures_for_each_modality_is_told_as_their_mean(tmp_path) -> None:
    rows = [{"loss": 3.0, "rgb/loss": 1.0, "flow/loss": 2.0, "rgb/knn_accuracy": 0.2, "flow/knn_accuracy": 0.5}]
    show_stages([trained(tmp_path / "run", 1, {"1-pretrain-rgb": rows})], tmp_path / "stages.json")
    (line,) = json.loads((tmp_path / "stages.json").read_text())["stages"]
    assert line["values"] == {"loss": [3.0], "knn_accuracy": [pytest.approx(0.35)]}


def test_a_stage_trained_by_itself_is_told_too(tmp_path, capsys) -> None:
    """As ``vimix pretrain`` and ``vimix cmmc-stage`` leave them: in RUN itself, without an arm or a number."""
    stages = (("pretrain-rgb", 0.25), ("manifold-rgb", 0.75))
    run = trained(tmp_path / "run", 4, {f"./{stage}": [{"epoch": 1.0, "knn_accuracy": v}] for stage, v in stages})
    show_stages([run], tmp_path / "stages.json")
    lines = json.loads((tmp_path / "stages.json").read_text())["stages"]
    told = {line["stage"]: (line["arm"], line["epochs"], line["values"]) for line in lines}
    recipe = recipe_from_toml(TWO_STAGES.format(name="x", seed=4), "r")
    assert told == {
        "pretrain-rgb": ("pretrain-rgb", recipe.pretrain.epochs, {"knn_accuracy": [0.25]}),
        "manifold-rgb": ("manifold-rgb", recipe.cmmc.epochs, {"knn_accuracy": [0.75]}),
    }
    with pytest.raises(VimixError, match=r"--arms pretrian-rgb: .* no such arm; it has pretrain-rgb, manifold-rgb"):
        draw_figure("2", run, tmp_path / "f.png", "rgb", ["manifold-rgb", "pretrian-rgb"])
    draw_figure("2", run, tmp_path / "f.png", "rgb", [])
    (panel,) = json.loads((tmp_path / "f.json").read_text())["panels"]
    assert {arm: curve["values"] for arm, (curve,) in panel["arms"].items()} == {
        "pretrain-rgb": [0.25],
        "manifold-rgb": [0.75],
    }


def test_runs_that_are_no_sample_have_no_common_stages_or_curves(tmp_path) -> None:
    for place, seed, name in (("twice/one", 1, "x"), ("twice/2", 1, "x"), ("mixed/one", 1, "x"), ("mixed/2", 2, "y")):
        trained(tmp_path / place, seed, {}, name)
    with pytest.raises(VimixError, match="no stage of x has metrics yet"):
        show_stages([tmp_path / "twice/one"], None)
    for folder, fault in (
        ("twice", r"same seed \(\[1, 1\]\)"),
        ("mixed", "different recipes: x, y"),
        ("nowhere", "no run below it"),
    ):
        with pytest.raises(VimixError, match=fault):
            show_stages([tmp_path / folder], None)
        with pytest.raises(VimixError, match=fault):
            draw_figure("2", tmp_path / folder, tmp_path / "f.png", "rgb", [])


def test_a_figure_is_a_png(tmp_path) -> None:
    """Its numbers go into a .json of the same name, which must not be the picture itself."""
    with pytest.raises(VimixError, match=r"f\.json: expected a name that ends in \.png"):
        draw_figure("2", tmp_path, tmp_path / "f.json", "rgb", [])


def test_the_table_beside_a_figure_tells_where_a_curve_turned() -> None:
    """Two seeds whose mean rises to 40 % at epoch 3 and falls to 35: as an encoder does that overfits."""
    seeds = [
        Curve(np.array([1.0, 3, 5]), np.array([0.1, 0.5, 0.4]), seed=0),
        Curve(np.array([1.0, 2, 3, 5]), np.array([0.3, 0.9, 0.3, 0.3]), seed=1),
    ]
    apart = [Curve(np.array([1.0]), np.array([0.1]), seed=0), Curve(np.array([2.0]), np.array([0.1]), seed=1)]
    table = panel_table(Panel("knn_accuracy", "kNN accuracy (%)", 100.0, {"MoCo": seeds, "other": apart}))
    cells = [list(column.cells) for column in table.columns]
    assert [column[0] for column in cells] == ["MoCo", "2", "20 (1)", "20 (1)", "40 (3)", "35 (5)"]
    assert [column[1] for column in cells] == ["other", "2", "-", "-", "-", "-"]


def test_a_record_shows_the_differences_that_its_seeds_decide_and_counts_the_others(tmp_path) -> None:
    runs = [run(seed, shift=0.001 * seed) for seed in range(3)]
    write_summary(tmp_path, runs)
    text = decided_markdown(read_record(tmp_path / "results.json"))
    decided = [line for line in text.splitlines() if line.startswith("| Vi-Mix minus MoCo")]
    assert len(decided) == 1
    assert decided[0].startswith("| Vi-Mix minus MoCo | rgb | R@1 | +5.1 | +4.9 to +5.3")
    assert re.search(r"The interval contains 0 for \d of \d differences", text)
    assert "linear top-1" not in text, "equal scores decide nothing"
    chosen = decided_markdown(read_record(tmp_path / "results.json"), ["random initialisation"])
    assert "Vi-Mix" not in chosen
    with pytest.raises(VimixError, match=r"--arms nothing: .* vimix"):
        decided_markdown(read_record(tmp_path / "results.json"), ["nothing"])


def test_a_run_is_shown_beside_the_differences_that_recorded_seeds_decide(tmp_path, capsys) -> None:
    runs = [run(seed, shift=0.001 * seed) for seed in range(3)]
    write_summary(tmp_path / "record", runs)
    record = tmp_path / "record/results.json"
    write_tables(tmp_path / "run", runs[1].rows, {"seed": 1, "name": runs[1].recipe})
    lines = printed(capsys, "experiments", "recorded", record, "--run", tmp_path / "run").splitlines()
    assert "| arm | modality | R@1 | linear top-1 | R@1 minus MoCo | linear top-1 minus MoCo |" in lines
    [moco] = [line for line in lines if line.startswith("| MoCo | ")]
    [vimix] = [line for line in lines if line.startswith("| Vi-Mix | ")]
    assert moco.endswith("|  |  |"), "nothing is subtracted from itself"
    assert "| +5.1 (+4.9 to +5.3) * | +0.0 (+0.0 to +0.0) |" in vimix, "R@1 is decided, the equal linear scores are not"
    write_tables(tmp_path / "other", runs[1].rows, {"seed": 1, "name": "other"})
    assert "of the recipe other" in refused(capsys, "experiments", "recorded", record, "--run", tmp_path / "other")


def test_the_demo_ends_with_its_scores_beside_the_differences_that_its_record_decides(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(ROOT)
    demo = (ROOT / "Makefile").read_text().split("\ndemo: setup\n")[1]
    _, _, command, last = demo.strip().rsplit("\n", 3)
    _, *words = command.split()
    [run, *_] = recorded_runs(ROOT / next(word for word in words if word.endswith(".json")))
    write_tables(tmp_path, run.rows, {"seed": run.seed, "name": run.recipe})
    lines = printed(capsys, *words[:-1], tmp_path).splitlines()
    [mixup, vimix] = [line for line in lines if re.match(r"\| (Vi-Mix|Mixup) \| rgb \+ flow ", line)]
    assert mixup.endswith("| +10.6 (+5.4 to +15.9) * | +10.9 (+6.4 to +15.3) * |")
    assert vimix.endswith("| +8.6 (+2.6 to +14.5) * | +7.9 (+3.0 to +12.9) * |")
    assert "CMMC has not improved on mixup" in last
    assert (ROOT / re.findall(r"docs/\S+\.md", last)[0]).is_file()


@pytest.mark.parametrize("content", ["", "[]", '{"format": "vimix-table-1"}'])
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, content) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(VimixError, match=r"r\.json: expected a summary of several seeds"):
        read_record(tmp_path / "r.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "extent", "random_layers", "same_layer"),
    [
        ("s3d", "box", 0.92, 0.87),
        ("s3d", "map", 0.80, 0.68),
        ("stgcn", "box", 0.83, 0.80),
        ("stgcn", "map", 0.64, 0.58),
    ],
)
def test_the_mean_weights_are_those_of_the_method(encoder, extent, random_layers, same_layer) -> None:
    weights = mix_weights(encoder, extent)
    assert weights.random_layers == pytest.approx(random_layers, abs=0.01)
    assert weights.same_layer["cthw"] == pytest.approx(same_layer, abs=0.01)


@pytest.mark.slow
def test_the_tables_of_weights_are_those_of_the_documentation(tmp_path, capsys) -> None:
    def tables(text: str) -> list[list[str]]:
        return [
            line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ") and "---" not in line
        ]

    out = tmp_path / "weights.json"
    printed_tables = tables(printed(capsys, "experiments", "weights", "--out", out))
    section = (ROOT / "docs/method.md").read_text().split("### Two ways to cut S3D")[1].split("### Skeletons")[0]
    written = tables(section)
    assert [len(row) for row in written] == [len(row) for row in printed_tables]
    for row, expected in zip(written, printed_tables, strict=True):
        for cell, value in zip(row, expected, strict=True):
            assert cell == value or float(cell) == pytest.approx(float(value), abs=0.011), (row, expected)
    measured = json.loads(out.read_text())["weights"]
    assert [(w["encoder"], w["stages"], w["extent"], len(w["by_layers"])) for w in measured] == [
        *(("s3d", stages, extent, count) for stages, count in (("blocks", 4), ("modules", 15)) for extent in EXTENTS),
        *(("stgcn", "blocks", extent, 9) for extent in EXTENTS),
    ]
    assert [len(row) for row in measured[-1]["by_layers"]] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert vimix("experiments", "weights", "--encoder", "stgcn", "--out", out) == 2
