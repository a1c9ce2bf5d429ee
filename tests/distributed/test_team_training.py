"""Two processes do what one does with twice the batch and twice the BatchNorm groups."""

import json
import time

import pytest
import torch

from tests.distributed import scenarios
from tests.distributed.members import launch, two_together
from tests.e2e.killing import RECIPE, make_store
from tests.e2e.test_command_line import vimix
from vimix.app.team import Alone


@pytest.fixture(scope="module")
def two():
    return [member["steps"] for member in two_together()]


@pytest.fixture(scope="module")
def one():
    return scenarios.steps(Alone(), None)


@pytest.mark.parametrize("number", range(4))
def test_loss_and_gradients_are_those_of_one_process(one, two, number) -> None:
    """Steps 0 and 2 pretrain, 1 and 3 are of a CMMC stage; all but the first follow updates."""
    expected = one["steps"][number]
    largest = float(expected["gradient"].abs().max())
    for member in two:
        for name, size in (("loss", 1.0), ("accuracy", 1.0), ("rank", 1.0), ("gradient", largest)):
            torch.testing.assert_close(member["steps"][number][name], expected[name], rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("number", range(4))
def test_the_queue_is_the_same_everywhere_and_that_of_one_process(one, two, number) -> None:
    first, second = (member["steps"][number] for member in two)
    assert torch.equal(first["queue"], second["queue"])
    torch.testing.assert_close(first["queue"], one["steps"][number]["queue"], rtol=1e-5, atol=1e-5)
    assert torch.equal(first["sources"], one["steps"][number]["sources"])
    assert len(first["queue"]) == min(12, 8 * (number + 1))


def test_weights_and_running_statistics_are_the_same_everywhere_and_those_of_one_process(one, two) -> None:
    fresh = scenarios.wiring.build_network(scenarios.recipe(Alone()), scenarios.RGB, scenarios.CPU).state_dict()
    assert not any(torch.equal(fresh[name], value) for name, value in one["query"].items() if value.ndim > 1)
    for network in ("query", "key"):
        for name, expected in one[network].items():
            first, second = (member[network][name] for member in two)
            assert torch.equal(first, second), name
            torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-5)


def test_a_bad_clip_of_one_member_makes_all_skip_the_step() -> None:
    assert scenarios.bad_step(Alone(), None) == {"skipped": True, "kept": True}
    assert [member["bad_step"] for member in two_together()] == [{"skipped": True, "kept": True}] * 2


def test_features_are_extracted_once_each_and_come_in_the_order_of_the_store() -> None:
    expected = scenarios.evaluation(Alone(), None)
    assert [len(features) for features, _ in expected.values()] == [7, 1]
    for member in two_together():
        for name, (features, videos) in expected.items():
            assert torch.equal(member["evaluation"][name][0], features)
            assert torch.equal(member["evaluation"][name][1], videos)


def test_the_command_line_in_two_processes_trains_as_in_one_and_writes_once(tmp_path) -> None:
    """The first row of metrics tells of three updates; both go on from the checkpoint of two processes."""
    make_store(tmp_path / "s.h5")
    (tmp_path / "r.toml").write_text(RECIPE.format(store=tmp_path / "s.h5"))
    common = [
        "pretrain",
        str(tmp_path / "r.toml"),
        "--modality",
        "rgb",
        "--device",
        "cpu",
        "--set",
        "pretrain.epochs=1",
    ]
    common += ["--set", "pretrain.milestones=[]", "--set", "optim.lr=1e-6"]
    assert vimix(*common, "--out", tmp_path / "one") == 0
    halves = ["--set", "optim.batch=2", "--set", "contrast.bn_groups=1", "--out", str(tmp_path / "two")]
    (tmp_path / "command.txt").write_text("\n".join([*common, *halves]))
    done = launch("endings.command", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("stage.finished") + done.stdout.count("stage.finished") == 1
    rows = [json.loads((tmp_path / run / "pretrain-rgb/metrics.jsonl").read_text()) for run in ("one", "two")]
    for row in rows:
        row.pop("clips_per_second"), row.pop("data_time")
    assert rows[0] == pytest.approx(rows[1], rel=1e-3, abs=1e-3)
    again = launch("endings.command", tmp_path)
    assert again.returncode == 2
    assert "add --resume" in again.stderr


def test_a_dead_member_ends_the_others_at_once_with_the_cause(tmp_path) -> None:
    begun = time.monotonic()
    done = launch("endings.killed", tmp_path)
    assert done.returncode != 0
    assert "member 1 ended with -9" in done.stdout
    assert "member 0 ended with 2" in done.stdout
    assert "process 0 of 2 lost the others after its step 2" in done.stderr
    assert time.monotonic() - begun < 30


def test_a_hanging_member_is_waited_for_no_longer_than_agreed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TEAM_TIMEOUT", "2")
    done = launch("endings.hanging", tmp_path)
    assert "process 0 of 2 lost the others after its step 2" in done.stderr
    ends = {line.split()[1]: float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("member")}
    assert ends["1"] - ends["0"] > 3, "it did not wait for the other to come back"
