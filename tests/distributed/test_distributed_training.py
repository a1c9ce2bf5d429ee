"""Two processes do what one does with twice the batch and twice the BatchNorm groups."""

import json
import subprocess
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli import sets, vimix
from tests.distributed import scenarios
from tests.distributed.ranks import launch, two_together
from tests.e2e.killing import RECIPE, make_place, make_store
from tests.fakes.clips import FakeEvaluationClips
from tests.fakes.network import FakeNetwork
from tests.fakes.process_group import FakeProcessGroup, in_threads
from tests.unit.test_train_loop import timeless
from vimix.app.online_knn import OnlineKnn
from vimix.app.parallel import SingleProcess, synchronised, videos_of_rank
from vimix.ports.process_group import ProcessGroup
from vimix.values.errors import VimixError
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.config.protocols import COCLR_END_TO_END
from vimix_adapters.wiring.supervised_runs import batch_of_rank

pytestmark = pytest.mark.slow
HALVES = sets("optim.batch=2", "contrast.bn_groups=1")
"""The share of one process of two."""


def assert_near(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], *names: str) -> None:
    """Assert that tensors agree within 1e-5; for gradients, within 1e-5 of the largest one."""
    for name in names:
        size = float(expected[name].abs().max()) if name.startswith("gradient") else 1.0
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5 * size, msg=name)


@pytest.fixture(scope="module")
def two():
    return [rank["steps"] for rank in two_together()]


@pytest.fixture(scope="module")
def one():
    return scenarios.steps(SingleProcess(), None)


@pytest.mark.parametrize("number", range(6))
def test_loss_and_gradients_are_those_of_one_process(one, two, number) -> None:
    """Steps 0 and 3 pretrain, 1 and 4 are of a CMMC stage, 2 and 5 mix hidden maps.

    All but the first ema_update updates.
    """
    for rank in two:
        assert_near(rank["steps"][number], one["steps"][number], "loss", "accuracy", "rank", "gradient")


@pytest.mark.parametrize("number", range(6))
def test_the_queue_is_the_same_everywhere_and_that_of_one_process(one, two, number) -> None:
    first, second = (rank["steps"][number] for rank in two)
    assert torch.equal(first["queue"], second["queue"])
    torch.testing.assert_close(first["queue"], one["steps"][number]["queue"], rtol=1e-5, atol=1e-5)
    assert torch.equal(first["sources"], one["steps"][number]["sources"])
    assert len(first["queue"]) == min(12, 8 * (number + 1))


def test_positives_that_a_partner_finds_are_those_of_one_process() -> None:
    """A query may be mixed with an instance of the other process, whose positives count too."""
    one, two = scenarios.mining(SingleProcess(), None)["steps"], [rank["mining"]["steps"] for rank in two_together()]
    for number, expected in enumerate(one):
        first, second = (rank[number] for rank in two)
        for rank in (first, second):
            assert_near(rank, expected, "loss", "gradient", "queue", "partner keys")
            for name in ("positives", "labels", "sources"):
                assert torch.equal(rank[name], expected[name])
        assert torch.equal(first["queue"], second["queue"])
        assert torch.equal(first["partner keys"], second["partner keys"])
    assert one[3]["positives"] > one[1]["positives"] + 8


def test_losses_over_both_views_have_the_gradients_of_one_process() -> None:
    """SimCLR's gradients reach the embeddings of the other process too."""
    one, two = scenarios.pairs(SingleProcess(), None)["steps"], [rank["pairs"]["steps"] for rank in two_together()]
    for number, expected in enumerate(one):
        for rank in two:
            assert_near(rank[number], expected, "loss", "gradient", "accuracy")


def test_views_trained_at_once_are_those_of_one_process() -> None:
    """Alone, and from the third step on with the positives of each other."""
    one, two = scenarios.joint(SingleProcess(), None)["steps"], [rank["joint"]["steps"] for rank in two_together()]
    for number, expected in enumerate(one):
        for rank in two:
            assert_near(rank[number], expected, *expected)


def test_weights_and_running_statistics_are_the_same_everywhere_and_those_of_one_process(one, two) -> None:
    fresh = scenarios.wiring.build_network(scenarios.recipe(SingleProcess()), scenarios.RGB, scenarios.CPU).state_dict()
    assert not any(torch.equal(fresh[name], value) for name, value in one["query"].items() if value.ndim > 1)
    for network in ("query", "key"):
        for name, expected in one[network].items():
            first, second = (rank[network][name] for rank in two)
            assert torch.equal(first, second), name
            torch.testing.assert_close(first, expected, rtol=1e-7, atol=1e-9)


def test_a_bad_clip_of_one_rank_makes_all_skip_the_step() -> None:
    assert scenarios.bad_step(SingleProcess(), None) == {"skipped": True, "kept": True}
    assert [rank["bad_step"] for rank in two_together()] == [{"skipped": True, "kept": True}] * 2


def test_features_are_extracted_once_each_and_come_in_the_order_of_the_store() -> None:
    expected = scenarios.evaluation(SingleProcess(), None)
    assert [len(features) for features, _ in expected.values()] == [7, 1]
    for rank in two_together():
        for name, (features, videos) in expected.items():
            assert torch.equal(rank["evaluation"][name][0], features)
            assert torch.equal(rank["evaluation"][name][1], videos)


@pytest.mark.parametrize("kind", ["finetuning", "linear"])
def test_training_with_labels_is_that_of_one_process_and_tests_each_video_once(kind) -> None:
    """Weights, statistics and logits to 1e-5; seven videos and then one are shared out, so that ranks have unequally
    many, and all know of all.
    """
    one, two = getattr(scenarios, kind)(SingleProcess(), None), [rank[kind] for rank in two_together()]
    for rank in two:
        assert_near(rank, one, "losses", "logits")
        for name in one["state"]:
            assert torch.equal(rank["state"][name], two[0]["state"][name]), name
            assert_near(rank["state"], one["state"], name)
        for name, videos in (("seven", list(range(7))), ("one", [3])):
            assert rank[name][2].tolist() == videos
            assert torch.equal(rank[name][1], one[name][1])
            torch.testing.assert_close(rank[name][0], one[name][0], rtol=1e-5, atol=1e-5)


def launched(
    tmp_path: Path, command: list[str], scenario: str = "endings.command", code: int = 0
) -> subprocess.CompletedProcess[str]:
    """The command in two processes, which ends with ``code``."""
    (tmp_path / "command.txt").write_text("\n".join(command))
    done = launch(scenario, tmp_path)
    assert done.returncode == code, done.stderr
    return done


def test_the_command_line_in_two_processes_trains_as_in_one_and_writes_once(tmp_path) -> None:
    """The first row of metrics tells of three updates; both go on from the checkpoint of two processes."""
    make_place(tmp_path)
    common = ["pretrain", str(tmp_path / "r.toml"), "--modality", "rgb", "--device", "cpu"]
    common += sets("pretrain.epochs=1", "pretrain.milestones=[]", "optim.lr=1e-6")
    assert vimix(*common, "--out", tmp_path / "one") == 0
    done = launched(tmp_path, [*common, *HALVES, "--out", str(tmp_path / "two")])
    assert done.stderr.count("stage.finished") + done.stdout.count("stage.finished") == 1
    files = [tmp_path / run / "pretrain-rgb/metrics.jsonl" for run in ("one", "two")]
    one, two = timeless([json.loads(file.read_text()) for file in files])
    assert one == pytest.approx(two, rel=1e-3, abs=1e-3)
    again = launch("endings.command", tmp_path)
    assert again.returncode == 2
    assert "add --resume" in again.stderr


def test_a_measurement_longer_than_ranks_wait_for_each_other_ends_no_training(tmp_path) -> None:
    """Sixteen videos, a batch each, would take one process eight seconds, and the other waits six for its next step."""
    make_place(tmp_path)
    command = ["pretrain", str(tmp_path / "r.toml"), "--modality", "rgb", "--device", "cpu", "--out", str(tmp_path)]
    command += [*HALVES, *sets("evaluate.knn_every=1", "evaluate.batch_clips=3", "run.dist_timeout=6")]
    launched(tmp_path, command, "endings.slowly_measured")
    rows = [json.loads(line) for line in (tmp_path / "pretrain-rgb/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if 0 <= row.get("knn_accuracy", -1) <= 1] == [3, 6]


def test_scores_that_take_longer_than_ranks_wait_for_each_other_end_no_run(tmp_path) -> None:
    """Rank 0 alone measures two arms for eight seconds, while rank 1 waits for the next seed; a step waits six."""
    make_store(tmp_path / "s.h5")
    recipe = RECIPE.format(store=tmp_path / "s.h5").split("[arms")[0]
    (tmp_path / "r.toml").write_text(f'{recipe}[arms.moco]\nstages = [{{ pretrain = "rgb" }}]\n')
    command = ["run", str(tmp_path / "r.toml"), "--device", "cpu", "--out", str(tmp_path / "run"), "--seeds", "2"]
    short = sets("run.dist_timeout=6", "pretrain.epochs=1", "pretrain.milestones=[]")
    launched(tmp_path, [*command, *HALVES, *short], "endings.slowly_scored")
    assert json.loads((tmp_path / "run/results.json").read_text())["seeds"] == [0, 1]


def test_neighbours_are_measured_by_all_as_by_one() -> None:
    """Three ranks share seven videos and three queries; each gets the accuracy of all."""
    networks = [FakeNetwork() for _ in range(3)]  # made here, since threads share the generator that they would seed

    def measured(group: ProcessGroup) -> float:
        gallery, queries = (
            FakeEvaluationClips(members=videos_of_rank(range(*some), group)) for some in ((7,), (7, 10))
        )
        return OnlineKnn(networks[group.rank], gallery, queries, np.arange(10), 3, group=group).measure()[
            "knn_accuracy"
        ]

    assert in_threads(3, measured) == [measured(SingleProcess())] * 3


def labelled(tmp_path, task: str, *settings: str) -> tuple[list[str], list[str]]:
    """The command that trains with labels, for one process and for each of two."""
    make_place(tmp_path)
    common = ["evaluate", task, str(tmp_path / "r.toml"), "--from-scratch", "rgb", "--device", "cpu", "--resume"]
    common += sets(*settings)
    return [*common, "--out", str(tmp_path / "one.json")], [*common, *HALVES, "--out", str(tmp_path / "two.json")]


def same_training(tmp_path) -> None:
    """Two processes left what one did: scores, rows of metrics, classifier."""
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["scores"] == two["scores"]
    assert (one["protocol"]["processes"], two["protocol"]["processes"]) == (1, 2)
    rows = timeless([json.loads((tmp_path / name / "rgb/metrics.jsonl").read_text()) for name in ("one", "two")])
    assert rows[0] == pytest.approx(rows[1], rel=1e-5, abs=1e-5)
    classifiers = [load_checkpoint(tmp_path / name / "rgb").parts["classifier"] for name in ("one", "two")]
    for name, expected in classifiers[0].items():
        # Six clips a group leave few values to the last BatchNorms, which amplify rounding.
        near = 1e-4 if "running_" in name else 1e-5
        torch.testing.assert_close(
            classifiers[1][name], expected, rtol=near, atol=near, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_finetuning_in_two_processes_is_stopped_by_one_goes_on_and_ends_as_in_one(tmp_path) -> None:
    settings = ["epochs=1", "milestones=[]", "encoder_share=0.1", "crops='centre'", "lr=1e-6"]
    one, two = labelled(tmp_path, "finetune", *(f"finetune.{setting}" for setting in settings))
    assert vimix(*one, "--set", "finetune.bn_groups=2") == 0
    stopped = launched(tmp_path, two, "endings.stop_requested", code=75)
    assert "rank 0 ended with 75" in stopped.stdout
    assert "stopped by SIGTERM: saved at step 2" in stopped.stderr
    assert not (tmp_path / "two.json").exists()
    assert launched(tmp_path, two).stdout.count("written to") == 1
    same_training(tmp_path)


def test_a_linear_layer_in_two_processes_shares_the_batch_of_the_protocol(tmp_path) -> None:
    """Twelve videos are less than its 64 clips, and so the batch: six a process. No setting of a group is needed."""
    one, two = labelled(tmp_path, "linear-end-to-end", "evaluate.linear_epochs=3")
    assert vimix(*one) == 0
    launched(tmp_path, two)
    same_training(tmp_path)


def test_seeds_are_run_by_one_group_and_summarised_once(tmp_path) -> None:
    """With a stage whose hidden maps are mixed with rows that the other process holds."""
    make_store(tmp_path / "s.h5")
    mixed = '{ cmmc = "rgb", epochs = 1, milestones = [], mix = { policy = "manifold_mixup" } }'
    recipe = f"{RECIPE.format(store=tmp_path / 's.h5').split('[arms')[0]}[arms.mixed]\nstages = [{mixed}]\n"
    (tmp_path / "r.toml").write_text(recipe)
    command = ["run", str(tmp_path / "r.toml"), "--device", "cpu", "--out", str(tmp_path / "run"), "--seeds", "2"]
    done = launched(tmp_path, [*command, *HALVES])
    assert json.loads((tmp_path / "run/results.json").read_text())["seeds"] == [0, 1]
    assert (done.stderr + done.stdout).count("seeds.finished") == 1


def test_a_batch_that_does_not_divide_among_the_processes_is_refused() -> None:
    with pytest.raises(VimixError, match=r"batch of 64 clips \(11 videos to train on\) does not divide among 2"):
        batch_of_rank(COCLR_END_TO_END, 11, FakeProcessGroup(0, 2, None))
    assert batch_of_rank(COCLR_END_TO_END, 100, FakeProcessGroup(1, 2, None)) == 32


def test_ranks_with_more_to_do_are_waited_for() -> None:
    """No rank ends before all are done, and no item is lost; the clock makes ranks synchronise at each item."""
    met = in_threads(
        3, lambda group: len(list(synchronised(range(4 * group.rank), group, clock=count(step=9).__next__)))
    )
    assert met == [0, 4, 8]


def test_a_dead_rank_ends_the_others_at_once_with_the_cause(tmp_path) -> None:
    begun = time.monotonic()
    done = launch("endings.killed", tmp_path)
    assert done.returncode != 0
    assert "rank 1 ended with -9" in done.stdout
    assert "rank 0 ended with 2" in done.stdout
    assert "process 0 of 2 lost the others after its step 2" in done.stderr
    assert time.monotonic() - begun < 30


def test_a_hanging_rank_is_waited_for_no_longer_than_agreed(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GROUP_TIMEOUT", "2")
    done = launch("endings.hanging", tmp_path)
    assert "process 0 of 2 lost the others after its step 2" in done.stderr
    ends = {line.split()[1]: float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("rank")}
    assert ends["1"] - ends["0"] > 3, "it did not wait for the other to come back"
