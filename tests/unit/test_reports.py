"""What a run leaves behind: results, tables, sheets and curves."""

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.curves import read_metrics
from vimix_adapters.reports.environment import commit, machine, versions
from vimix_adapters.reports.results import ResultRecord, write_json, write_results
from vimix_adapters.reports.sheet import SheetRow, Thumbnail, draw_sheet
from vimix_adapters.reports.tables import Row, console_table, scores_markdown, write_tables

ROWS = [
    Row("random initialisation", "rgb", {"R@1": 0.1234, "R@5": 0.5, "top-1": 0.2}),
    Row("Vi-Mix", "rgb", {"R@1": 0.5, "R@5": 0.75, "top-1": 0.9996}),
    Row("Vi-Mix", "rgb | flow", {"R@1": 1.0}),
]


RECORD = {
    "task": "retrieval",
    "scores": {"R@1": 0.5},
    "untrained": {"R@1": 0.25},
    "protocol": {"windows": 32, "streams": ["rgb"], "similarity": "cosine"},
    "videos": {"gallery": 300, "queries": 100},
    "seed": 3,
    "data": "abc123",
    "checkpoints": {"rgb": {"stage": "pretrain-rgb", "epoch": 12}},
    "machine": "some processor, 2 cores",
    "commit": "0123abc",
}


def test_a_result_file_holds_everything_of_its_record(tmp_path: Path) -> None:
    protocol = {**RECORD["protocol"], "windows": np.int64(32), "streams": ("rgb",)}
    write_results(tmp_path / "new" / "r.json", ResultRecord(**RECORD | {"protocol": protocol}))
    read = json.loads((tmp_path / "new" / "r.json").read_text())
    assert read.pop("versions").keys() == {"python", "vimix", "torch", "torchvision", "numpy", "faiss", "sklearn"}
    assert read == {"format": "vimix-results-1", **RECORD}


def test_what_json_lacks_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match=r"."):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError, match=r"cannot be written"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_versions_are_those_of_the_imported_libraries() -> None:
    import faiss
    import sklearn

    found = versions()
    assert found["numpy"] == np.__version__
    assert found["sklearn"] == sklearn.__version__
    assert found["faiss"] == faiss.__version__


def test_the_machine_is_a_processor_with_cores() -> None:
    assert machine().endswith(" cores")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_files_own_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    ours, installed = tmp_path / "ours.py", tmp_path / "installed.py"
    ours.write_text("a = 1\n")
    installed.write_text("a = 1\n")
    assert commit(ours) == "unknown"
    git("init", "--quiet")
    git("add", "ours.py")
    git("commit", "--quiet", "--message", "one")
    head = git("rev-parse", "HEAD")
    assert commit(ours) == head
    assert commit(installed) == "unknown"  # lies in the repository without belonging to it
    ours.write_text("a = 2\n")
    assert commit(ours) == f"{head}-dirty"


def test_the_scores_markdown_is_in_per_cent_with_one_decimal_and_a_dash_for_what_is_missing() -> None:
    assert scores_markdown(ROWS).splitlines() == [
        "| arm | modality | R@1 | R@5 | linear top-1 |",
        "| --- | --- | ---: | ---: | ---: |",
        "| random initialisation | rgb | 12.3 | 50.0 | 20.0 |",
        "| Vi-Mix | rgb | 50.0 | 75.0 | 100.0 |",
        "| Vi-Mix | rgb \\| flow | 100.0 | - | - |",
    ]


def test_the_console_table_shows_the_same_numbers_and_names_the_accuracy_of_another_task_as_it_is(capsys) -> None:
    show_table(console_table(ROWS, "results"))
    printed = capsys.readouterr().out
    for shown in ("random initialisation", "12.3", "linear top-1", "100.0", "results"):
        assert shown in printed
    show_table(console_table(ROWS, headings={}))
    printed = capsys.readouterr().out
    assert "top-1" in printed
    assert "linear" not in printed


def test_a_score_without_a_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"top-3"):
        scores_markdown([Row("a", "rgb", {"top-3": 0.1})])


def test_recall_columns_ascend_whatever_was_measured() -> None:
    heading = scores_markdown([Row("a", "rgb", {"top-1": 0.1, "R@20": 0.1, "R@3": 0.1})]).splitlines()[0]
    assert heading == "| arm | modality | R@3 | R@20 | linear top-1 |"


def test_the_tables_of_a_run_are_written_as_json_and_markdown(tmp_path: Path) -> None:
    write_tables(tmp_path, ROWS, {"seed": 0, "videos": {"test": np.int64(7)}}, "Demo", ["7 videos tested"])
    read = json.loads((tmp_path / "results.json").read_text())
    assert read["rows"][0] == {"arm": ROWS[0].arm, "modality": "rgb", "scores": dict(ROWS[0].scores)}
    assert read["about"] == {"seed": 0, "videos": {"test": 7}}
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("# Demo\n")
    assert scores_markdown(ROWS) in text
    assert text.endswith("\n- 7 videos tested\n")


def picture(path: Path) -> NDArray[np.uint8]:
    read = cv2.imread(str(path))
    assert read is not None
    return np.asarray(read[..., ::-1], np.uint8)


def share(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - colour).max(axis=2) < 12).mean())


@pytest.mark.slow
def test_the_sheet_shows_thumbnails_in_their_colours_framed_by_right_and_wrong(tmp_path: Path) -> None:
    def thumb(colour: tuple[int, int, int], class_name: str) -> Thumbnail:
        return Thumbnail(np.full((20, 30, 3), colour, np.uint8), "a $very_long$ name of a video file.mp4", class_name)

    blue, yellow = (0, 0, 255), (255, 255, 0)
    rows = [
        SheetRow(thumb(blue, "jump"), [thumb(yellow, "jump")] * 3, [0.9, 0.8, 0.7]),
        SheetRow(thumb(blue, "walk"), [thumb(yellow, "jump")] * 1, [0.9]),
    ]
    draw_sheet(tmp_path / "sheet.png", rows, "10 % of _all_ queries")
    image = picture(tmp_path / "sheet.png")
    green, red = share(image, (0x1A, 0x96, 0x41)), share(image, (0xD7, 0x19, 0x1C))
    assert share(image, yellow) == pytest.approx(2 * share(image, blue), rel=0.1)
    assert green == pytest.approx(3 * red, rel=0.15)
    assert red > 0


def metrics(path: Path, count: int, torn: str = "") -> Path:
    rows = [json.dumps({"step": 10 * n, "loss": 3.0 - 0.1 * n, "pretext_accuracy": 0.1 * n}) for n in range(count)]
    path.write_text("\n".join(rows) + "\n" + torn)
    return path


def test_metrics_are_read_in_order_without_a_torn_last_line(tmp_path: Path) -> None:
    rows = read_metrics(metrics(tmp_path / "metrics.jsonl", 4, torn='{"step": 40, "lo'))
    assert [row["step"] for row in rows] == [0, 10, 20, 30]
    assert rows[2]["loss"] == pytest.approx(2.8)
    (tmp_path / "metrics.jsonl").write_text('hello\n{"step": 1}\n')
    with pytest.raises(VimixError, match=r"metrics.jsonl: line 1"):
        read_metrics(tmp_path / "metrics.jsonl")
    with pytest.raises(VimixError, match=r"none.jsonl: expected the metrics of a stage, but it cannot be read"):
        read_metrics(tmp_path / "none.jsonl")


def test_names_of_videos_are_no_markup_and_no_emoji_and_a_pipe_folds_nothing(capsys) -> None:
    arm = "a title that is longer than eighty columns would leave it beside the others, which they may well be"
    show_table(console_table([Row(f"{arm} clip[1].mp4 [red] :cat:", "rgb", {"R@1": 0.5})], "of [bold] x"))
    printed = capsys.readouterr().out
    assert f"{arm} clip[1].mp4 [red] :cat:" in printed
    assert "of [bold] x" in printed
