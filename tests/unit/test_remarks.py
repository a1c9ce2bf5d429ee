"""A training that collapsed, or whose steps were skipped, does not look like a result."""

import json

import pytest

from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.remarks import joined_remarks, training_remark
from vimix_adapters.reports.summaries import RunResults, write_summary
from vimix_adapters.reports.tables import Row, console_table, scores_markdown


def rows(rank: float, bad: int, steps: int = 100) -> list[dict[str, float]]:
    return [
        {"step": float(s), "effective_rank": rank, "bad_steps": float(min(s, bad))} for s in range(10, steps + 1, 10)
    ]


@pytest.mark.parametrize(
    ("rank", "bad", "remark"),
    [
        (40.0, 0, ""),
        (40.0, 9, ""),
        (1.4, 0, "collapsed in training: effective rank 1.4 of 128"),
        (40.0, 25, "25 % of steps skipped"),
        (1.4, 25, "25 % of steps skipped; collapsed in training: effective rank 1.4 of 128"),
        (40.0, 100, "untrained: 100 % of steps skipped"),
    ],
)
def test_a_training_is_remarked_on_where_its_scores_are_no_result(rank, bad, remark) -> None:
    assert training_remark(rows(rank, bad), possible_rank=128) == remark


def test_only_the_end_of_a_training_counts_as_collapsed() -> None:
    """Embeddings that lie together in the first steps spread later, and the other way round."""
    recovered = [*rows(1.2, 0), *rows(60.0, 0)]
    lost = [*rows(60.0, 0), *rows(1.2, 0)]
    assert training_remark(recovered, 128) == ""
    assert training_remark(lost, 128).startswith("collapsed in training")
    assert training_remark([], 128) == ""


def test_remarks_are_joined_for_the_streams_of_a_row() -> None:
    remarks = {"rgb": "collapsed", "flow": ""}
    assert joined_remarks(remarks, ["flow"]) == ""
    assert joined_remarks(remarks, ["rgb", "flow"]) == "rgb: collapsed"


def test_tables_and_summaries_print_the_remark(tmp_path, capsys) -> None:
    def run(seed: int, remark: str) -> RunResults:
        table = [Row("MoCo", "rgb", {"R@1": 0.4}, "moco"), Row("Vi-Mix", "rgb", {"R@1": 0.5}, "vimix", remark=remark)]
        return RunResults(tmp_path, "r", seed, table)

    collapsed = run(1, "rgb: collapsed in training: effective rank 1.4 of 128")
    show_table(console_table(collapsed.rows))
    assert "effective rank 1.4 of 128" in capsys.readouterr().out
    assert "Vi-Mix (rgb: collapsed in training" in scores_markdown(collapsed.rows)
    text = write_summary(tmp_path, [run(0, ""), collapsed])
    assert "- seed 1, Vi-Mix, rgb: rgb: collapsed in training: effective rank 1.4 of 128" in text
    assert len(json.loads((tmp_path / "results.json").read_text())["remarks"]) == 1
