"""Files of results that somebody edited or that were cut short: one line that names the file and the key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_experiments import FINETUNED, record, run, trained
from vimix.values.errors import VimixError
from vimix_adapters.commands.paper_figures import draw_figure, show_stages
from vimix_adapters.commands.paper_tables import find_results, print_table, summarise
from vimix_adapters.reports.results import read_results, write_results
from vimix_adapters.reports.tables import write_tables

ROW = {"arm": "A", "modality": "rgb"}


def refusal(act: Callable[[], object]) -> str:
    """The message that ``act`` refuses with; empty if it does not."""
    try:
        act()
    except VimixError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected vimix-table-1, found no object"),
        ({"format": "vimix-results-1"}, "expected vimix-table-1, found vimix-results-1"),
        ({"rows": 3}, "rows: expected a list, got 3; about: missing"),
        (
            {"rows": [{**ROW, "scores": {"R@1": "a"}}], "about": {"seed": True}},
            "rows.0.scores.R@1: expected a number, got 'a'",
        ),
        ({"rows": [{**ROW, "scores": {"R@1": float("nan")}}], "about": {"seed": 1}}, "expected a finite number"),
        ({"rows": [{**ROW, "scores": {"mAP": 1}}], "about": {"seed": 1}}, "no column for ['mAP']"),
        ({"rows": [], "about": {"seed": 1}}, "no row is in all of them"),
    ],
)
def test_changed_results_of_a_run_are_refused_with_the_key(tmp_path, content, message) -> None:
    write_tables(tmp_path / "b", run(2).rows, {"seed": 2})
    file = tmp_path / "a/results.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"format": "vimix-table-1", **content} if isinstance(content, dict) else content))
    refused = refusal(lambda: summarise([tmp_path / "a", tmp_path / "b"], tmp_path / "out"))
    assert str(file) in refused
    assert message in refused
    assert not (tmp_path / "out/results.json").exists()


def test_results_that_were_cut_short_are_refused_by_a_summary_and_left_out_of_a_table(tmp_path, capsys) -> None:
    write_tables(tmp_path / "run", run(1, recipe="table2").rows, {"seed": 1, "name": "table2"})
    file = tmp_path / "run/results.json"
    file.write_text(file.read_text()[:-20])
    assert f"{file}: expected the results of a run" in refusal(lambda: summarise([file.parent] * 2, tmp_path / "out"))
    print_table(2, tmp_path, "markdown", None)
    assert f"file={file}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {"top-1": "0.8"}}, "scores.top-1: expected a number, got '0.8'"),
        ({"checkpoints": ["rgb"]}, "checkpoints: expected an object"),
        ({"seed": 1.5}, "seed: expected a whole number, got 1.5"),
        ({"seed": None}, "seed: missing"),
    ],
)
def test_a_changed_record_of_an_evaluation_is_refused_with_the_key(tmp_path, changes, message) -> None:
    file = tmp_path / "tuned.json"
    write_results(file, record())
    content: dict[str, Any] = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    for read in (lambda: read_results(file), lambda: print_table(3, tmp_path, "markdown", None)):
        assert message in refusal(read)
        assert str(file) in refusal(read)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["x", float("nan"), 10**400])
def test_a_figure_refuses_text_and_leaves_out_numbers_that_are_not_finite(tmp_path, value) -> None:
    rows = [{"knn_accuracy": 0.5}, {"knn_accuracy": value}]
    trained(tmp_path / "run", 1, {"1-pretrain-rgb": rows})
    refused = refusal(lambda: draw_figure("2", tmp_path / "run", tmp_path / "f.png", "rgb", []))
    assert ("line 2 is not a row of metrics" in refused) == (value == "x")
    assert (tmp_path / "f.json").exists() == (value != "x")


def test_a_recipe_that_is_no_text_is_refused_and_broken_links_are_passed_over(tmp_path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(VimixError, match=r"recipe\.toml: expected a recipe"):
        show_stages([tmp_path], None)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    (tmp_path / "folder.json").mkdir()
    assert find_results(Path(tmp_path)).values(FINETUNED) == []
