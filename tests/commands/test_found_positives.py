"""``vimix run`` with positives that are found: in a partner, under CMMC, across views, by labels."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.cli import printed, refused, sets, vimix
from tests.e2e.killing import RECIPE, make_store
from tests.fakes.counted import CountedText
from vimix.domain.contrast.finders import NearestAcrossViews, NearestInPartner
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.commands import evaluate_run
from vimix_adapters.commands.evaluate_run import draw_found, found_in_queue

pytestmark = pytest.mark.slow

ARMS = """
[arms.coclr]
stages = [
  {{ pretrain = "flow", epochs = 1, milestones = [], queue = 0 }},
  {{ pretrain = "rgb", partner = "flow", positives = {{ find = "nearest_in_partner", k = 2 }} }},
  {{ cmmc = "rgb", partner = "flow", queue = 4, positives = {{ find = "nearest_in_partner", k = 2 }} }},
]
[arms.crossclr]
stages = [
  {{ joint = ["rgb", "flow"], positives = {{ find = "nearest_across_views", after = 0.5 }} }},
  {{ cmmc = "flow", partner = "rgb", epochs = 1, milestones = [], warmup_steps = 4 }},
]
[arms.both_views]
set = {{ "contrast.queue" = 0, "pretrain.mix.policy" = "none", "augment.views" = "cvrl" }}
stages = [
  {{ pretrain = "rgb", objective = "simclr", epochs = 1, milestones = [] }},
  {{ pretrain = "rgb", objective = "symmetric", epochs = 1, milestones = [] }},
]
[arms.labels]
stages = [{{ pretrain = "rgb", mix = {{ policy = "none" }}, positives = {{ find = "labels" }} }}]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of all arms: three steps an epoch, and queues that two steps fill."""
    folder = tmp_path_factory.mktemp("found")
    make_store(folder / "s.h5")
    text = RECIPE.split("[arms")[0].replace("queue = 10", "queue = 8").replace("log_every = 3", "log_every = 1") + ARMS
    (folder / "r.toml").write_text(text.format(store=folder / "s.h5"))
    assert vimix("run", folder / "r.toml", "--out", folder / "run", "--device", "cpu") == 0
    return folder


def rows(stage: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("stage", "found"),
    [
        ("coclr/2-pretrain-rgb-mining-flow", lambda step: 2 if step > 2 else 0),
        ("coclr/3-cmmc-rgb-from-flow", lambda step: 2 if step > 1 else 0),
        ("crossclr/1-together-rgb-flow", lambda step: 1 if step > 2 else 0),
    ],
)
def test_positives_are_mined_as_soon_as_the_queue_holds_enough(place, stage, found) -> None:
    """Each video is a recording of its own, which comes again in the second epoch and is then a positive too."""
    seen = rows(place / "run" / stage)
    assert [row["step"] for row in seen] == [1, 2, 3, 4, 5, 6]
    for row in seen:
        own = row.get("positives_own_recording", 0) * row["positives"]
        assert row["positives"] - own * (stage.startswith("coclr")) == pytest.approx(found(row["step"]), abs=1e-6)
        assert ("positives_similarity" in row) is (row["positives"] > 0)


def test_each_stage_has_the_queue_that_it_asks_for(place) -> None:
    sizes = {
        stage: len(load_checkpoint(place / "run/coclr" / stage).parts["queue"]["keys"])
        for stage in ("1-pretrain-flow", "2-pretrain-rgb-mining-flow", "3-cmmc-rgb-from-flow")
    }
    assert [*sizes.values()] == [0, 8, 4]


def test_each_stage_has_the_warm_up_that_it_asks_for(place) -> None:
    rates = {
        stage: [row["learning_rate"] for row in rows(place / "run" / stage)][:3]
        for stage in ("coclr/1-pretrain-flow", "crossclr/2-cmmc-flow-from-rgb")
    }
    assert [*rates.values()] == [[1e-3] * 3, pytest.approx([0.25e-3, 0.5e-3, 0.75e-3])]


def test_a_picture_shows_what_was_found(place) -> None:
    for picture in ("coclr/2-pretrain-rgb-mining-flow/positives-flow", "crossclr/1-together-rgb-flow/positives-rgb"):
        assert (place / "run" / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    assert not list((place / "run/labels").glob("*/positives*.png"))


def test_rows_of_the_picture_are_the_nearest_of_other_recordings() -> None:
    queue = {"sources": torch.tensor([0, 0, 1, 2]), "labels": torch.tensor([0, 0, 1, 1])}
    angles = torch.tensor([0.0, 0.1, 0.3, 0.7])
    keys = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert found_in_queue(queue, keys, NearestInPartner(k=2), [0, 3]) == {0: [2, 3], 3: [2, 1]}
    assert found_in_queue(queue, keys, NearestAcrossViews(k=1), [0, 3]) == {0: [1], 3: [2]}


def test_the_first_video_of_a_recording_stands_for_it_and_is_found_in_one_pass(monkeypatch, tmp_path) -> None:
    """Thirty recordings of two videos, numbered by name: the first one begins at video 58, the last at 0."""
    videos = [SimpleNamespace(source=CountedText(f"s{29 - i // 2:02d}")) for i in range(60)]
    angles = torch.tensor([0.0, 0.1, 0.3])
    queue = {"sources": torch.tensor([0, 29, 28]), "labels": torch.tensor([0, 1, 1])}
    keys, sheets = torch.stack([angles.cos(), angles.sin()], dim=1), []
    monkeypatch.setattr(evaluate_run, "_finding", lambda *_: [("flow", queue, keys)])
    monkeypatch.setattr(evaluate_run, "thumbnail", lambda _, number: number)
    monkeypatch.setattr(evaluate_run, "draw_sheet", lambda _, rows, __: sheets.append(rows))
    CountedText.comparisons = 0
    draw_found(SimpleNamespace(videos=videos), SimpleNamespace(finder=NearestInPartner(k=2), name="x"), None, tmp_path)
    assert CountedText.comparisons <= 2 * len(videos)
    assert [(row.query, row.neighbours) for row in sheets[0]] == [(58, [0, 2]), (0, [58, 2])]


def test_labels_find_candidates_of_the_class(place) -> None:
    assert all(row["positives_own_class"] == 1 for row in rows(place / "run/labels/1-pretrain-rgb") if row["positives"])


def test_other_objectives_train_and_hand_their_encoders_on(place) -> None:
    for stage in ("1-pretrain-rgb", "2-pretrain-rgb"):
        seen = rows(place / "run/both_views" / stage)
        assert [row["step"] for row in seen] == [1, 2, 3]
        assert all(row["queue_filled"] == 0 and 0 < row["loss"] < 20 for row in seen)
    first, second = (load_checkpoint(place / "run/both_views" / f"{n}-pretrain-rgb").parts for n in (1, 2))
    assert second["query"].keys() == first["query"].keys()


def test_a_report_shows_views_that_were_trained_at_once(place) -> None:
    quick = ["--device", "cpu", "--clips", 4, "--set", "evaluate.probe_inverse_regularisation=[1.0]"]
    assert vimix("report", place / "run", "--out", place / "page.html", *quick) == 0
    page = json.loads((place / "page.json").read_text())
    assert {(one["arm"], one["modality"]) for one in page["maps"]} >= {("crossclr", "rgb"), ("crossclr", "flow")}


def test_views_that_were_trained_at_once_have_checkpoints_like_any_other(place, tmp_path, capsys) -> None:
    stage = place / "run/crossclr/1-together-rgb-flow"
    for view in ("rgb", "flow"):
        checkpoint = load_checkpoint(stage / view)
        assert checkpoint.modality == view
        assert vimix("export", stage / view, "--format", "safetensors", "--out", tmp_path / f"{view}.safetensors") == 0
    together = load_checkpoint(stage)
    assert together.modality == "rgb+flow"
    assert all(map(torch.equal, together.of("flow").parts["query"].values(), checkpoint.parts["query"].values()))
    assert vimix("export", stage, "--format", "safetensors", "--out", tmp_path / "both.safetensors") == 2
    assert f"name the folder of one of them, such as {stage / 'rgb'}" in capsys.readouterr().err
    results = json.loads((place / "run/results.json").read_text())["rows"]
    assert [row["modality"] for row in results if row["key"] == "crossclr"] == ["rgb", "flow", "rgb + flow"]
    record = ["evaluate", "retrieval", place / "r.toml", stage / "rgb", stage / "flow", "--out", tmp_path / "both.json"]
    assert vimix(*record, "--device", "cpu") == 0
    assert (place / "run/features").is_dir()
    assert not (stage / "features").exists()


def test_a_plan_and_a_figure_know_the_stages(place, capsys) -> None:
    assert vimix("run", place / "r.toml", "--out", place / "run", "--plan", "--device", "cpu") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("together-rgb-flow", "pretrain-rgb-mining-flow"):
        assert name in shown
    assert "to do: 0 s" in shown
    assert shown.count("finished") == 8
    figure = ["experiments", "figure", 3, "--runs", place, "--out", place / "f.png", "--modality", "flow"]
    assert "crossclr" in printed(capsys, *figure)
    assert "of own class" in printed(capsys, "experiments", "stages", place / "run")


@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_a_queue_that_a_stage_cannot_fill_is_refused_before_any_training(place, tmp_path, capsys, plan) -> None:
    command = ["run", place / "r.toml", "--out", tmp_path / "run", "--device", "cpu", *plan]
    told = refused(capsys, *command, *sets("contrast.queue=5000"))
    assert "stage pretrain-rgb-mining-flow draws 24 clips, too few to fill the queue of 5000 keys" in told
    assert not (tmp_path / "run").exists()
