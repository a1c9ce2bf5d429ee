"""Files of results that somebody changed: one line that names the file and the place, whatever was done to them."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.test_experiments import FINETUNED, record, run, trained
from vimix.values.errors import VimixError
from vimix_adapters.commands.paper_figures import draw_figure, show_stages
from vimix_adapters.commands.paper_tables import find_results, print_table, summarise
from vimix_adapters.reports.results import read_results, unlike, write_results
from vimix_adapters.reports.tables import write_tables

ROW = {"arm": "A", "modality": "rgb"}
JUNK = (None, "x", "1", [], [1], {}, {"x": None}, 1.5, -1, True, float("nan"), 10**400)


def changed(content: object) -> Iterator[object]:
    """The content with each of its parts replaced by something else, or left out."""
    yield from JUNK
    places = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for place, part in places:
        for other in changed(part):
            whole = copy.copy(content)
            whole[place] = other
            yield whole
        whole = copy.copy(content)
        del whole[place]
        yield whole


def refusal(act: Callable[[], object]) -> str:
    """What ``act`` refuses with, raising nothing else; empty if it does not."""
    try:
        act()
    except VimixError as error:
        return str(error)
    return ""


def refused_or_read(act: Callable[[], object], file: Path) -> int:
    """How often ``act`` refused a changed file, which it has to name."""
    refusals = []
    for content in changed(json.loads(file.read_text())):
        file.write_text(json.dumps(content))
        refusals.append(refusal(act))
    assert all(str(file) in told for told in refusals if told)
    return sum(map(bool, refusals))


def test_whatever_is_changed_in_the_results_of_a_run_a_summary_refuses_or_reads_it(tmp_path) -> None:
    for seed in (1, 2):
        write_tables(tmp_path / f"seed-{seed}", run(seed).rows[:2], {"seed": seed, "name": "r"})
    other = {"different recipes", "same seed"}  # what a summary says of files that are right, each by itself

    def act() -> None:
        told = refusal(lambda: summarise([tmp_path], tmp_path / "out"))
        if told and not any(reason in told for reason in other):
            raise VimixError(told)

    assert refused_or_read(act, tmp_path / "seed-2/results.json") > 100


def test_whatever_is_changed_in_results_a_table_refuses_or_reads_it(tmp_path, capsys) -> None:
    write_tables(tmp_path / "run", run(1, recipe="table2").rows[:2], {"seed": 1, "name": "table2"})
    assert refused_or_read(lambda: print_table(2, tmp_path, "markdown", None), tmp_path / "run/results.json") > 50
    (tmp_path / "run/results.json").unlink()
    write_results(tmp_path / "tuned.json", record(versions={"a": "1"}))
    assert refused_or_read(lambda: print_table(3, tmp_path, "markdown", None), tmp_path / "tuned.json") > 150


def test_whatever_is_changed_in_a_baseline_it_is_refused_or_read(tmp_path) -> None:
    file, mine = tmp_path / "baseline.json", record()
    write_results(file, record(versions={"a": "1"}))

    def act() -> None:
        other = read_results(file)
        unlike(mine, other)
        assert all(isinstance(value, float) for value in other.scores.values())
        assert all(hasattr(about, "get") for about in other.checkpoints.values())

    assert refused_or_read(act, file) > 150


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([1], "expected vimix-table-1, found no object"),
        ({"rows": 3}, "rows: expected a list, got 3; about: missing"),
        (
            {"rows": [{**ROW, "scores": {"R@1": "a"}}], "about": {"seed": True}},
            "rows.0.scores.R@1: expected a number, got 'a'",
        ),
        ({"rows": [{**ROW, "scores": {"mAP": 1}}], "about": {"seed": 1}}, "no column for ['mAP']"),
        ({"rows": [], "about": {"seed": 1}}, "no row is in all of them"),
    ],
)
def test_the_message_names_the_place(tmp_path, content, told) -> None:
    write_tables(tmp_path / "b", run(2).rows, {"seed": 2})
    (tmp_path / "a").mkdir()
    text = json.dumps({"format": "vimix-table-1", **content} if isinstance(content, dict) else content)
    (tmp_path / "a/results.json").write_text(text)
    with pytest.raises(VimixError) as caught:
        summarise([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert str(tmp_path / "a/results.json") in str(caught.value)
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_whatever_is_changed_in_metrics_stages_and_figures_refuse_or_read_it(tmp_path, capsys) -> None:
    trained(tmp_path / "run", 1, {"1-pretrain-rgb": [{"loss": 1.0, "knn_accuracy": 0.5}] * 2})
    file = tmp_path / "run/a/1-pretrain-rgb/metrics.jsonl"
    row = json.loads(file.read_text().splitlines()[0])
    refusals = []
    for content in changed(row):
        for lines in ([content, row], [row, content]):
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
            refusals.append(refusal(lambda: show_stages([tmp_path / "run"], tmp_path / "stages.json")))
    assert all(str(file) in told for told in refusals if told)
    assert sum(map(bool, refusals)) > 50


@pytest.mark.parametrize("value", ["x", float("nan"), 10**400])
def test_a_figure_refuses_what_is_no_number_and_leaves_out_what_is_not_finite(tmp_path, value) -> None:
    rows = [{"knn_accuracy": 0.5}, {"knn_accuracy": value}]
    trained(tmp_path / "run", 1, {"1-pretrain-rgb": rows})
    told = refusal(lambda: draw_figure(2, tmp_path / "run", tmp_path / "f.png", "rgb", []))
    assert ("line 2 is not a row of metrics" in told) == (value == "x")
    assert (tmp_path / "f.json").exists() == (value != "x")


def test_a_recipe_that_is_no_text_and_links_to_nothing_are_no_traceback(tmp_path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(VimixError, match=r"recipe\.toml: expected a recipe"):
        show_stages([tmp_path], None)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    (tmp_path / "folder.json").mkdir()
    assert find_results(tmp_path).values(FINETUNED) == []
