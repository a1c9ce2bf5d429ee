"""The contract of engines, run on our own worker processes and on a Ray cluster of two unequal nodes."""

import json
import os
import shutil
import signal
import sys
import time
import warnings

import pytest
import torch

from tests.builders import bow_and_wave
from tests.cli import SMALL, vimix
from tests.fakes.skeletons import write_walk
from tests.fakes.store import moving_square, write_video
from vimix.app import feature_extraction
from vimix.values.errors import VimixError
from vimix_adapters.commands import spread_features
from vimix_adapters.encoders.s3d import S3DEncoder
from vimix_adapters.files import Outage, WriteError
from vimix_adapters.prepare import engines
from vimix_adapters.prepare.engines import LocalEngine, RayEngine
from vimix_adapters.prepare.worker_pool import allow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # on a busy machine a node of Ray takes minutes


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes, processes of this machine: one core, and three cores with something called a GPU."""
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for cores, gpus in ((1, 0), (3, 1)):
            made.add_node(num_cpus=cores, num_gpus=gpus, object_store_memory=80 * 2**20, include_dashboard=False)
            if not ray.is_initialized():  # connected to the first node, since a test removes the other
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # about GPUs
                    ray.init(address=made.address, log_to_driver=False)
    except Exception as error:  # Ray gives its processes 30 seconds, which is too little on a busy machine
        made.shutdown()
        pytest.skip(f"no Ray cluster started here: {error}")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(params=["local", "ray"])
def engine(request):
    return LocalEngine(2) if request.param == "local" else RayEngine(2, request.getfixturevalue("cluster").address)


def job(kind: str) -> str:
    """Succeed, or fail in the way that ``kind`` names."""
    if kind == "refused":
        raise VimixError("no video stream")
    if kind == "gone":
        raise Outage("cannot be read: no such device")
    if kind == "full":
        raise WriteError("no space left")
    if kind == "raises":
        raise KeyError("odd")
    if kind == "hangs":
        time.sleep(600)
    if kind == "long":
        allow(60.0)  # it turns out to be long
        time.sleep(3)
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    return kind.upper()


def place(seconds: float) -> tuple[str, str, float, float]:
    """Wait; returns the node of Ray, the GPUs that the process sees, and when the job began and ended."""
    begun = time.time()
    time.sleep(seconds)
    return os.environ["RAY_RAYLET_PID"], os.environ.get("CUDA_VISIBLE_DEVICES", ""), begun, time.time()


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """Return how many of the (begin, end) overlap where most do."""
    return max(sum(begin <= start < end for begin, end in spans) for start, _ in spans)


def test_each_job_has_its_own_outcome_and_no_other_pays_for_it(engine) -> None:
    kinds = ["fine", "hangs", "refused", "dies", "gone", "raises", "well"]
    limits = {"hangs": 1.0}
    found = {o.job: (o.value, o.reason, o.passing, o.hung) for o in engine(job, kinds, lambda k: limits.get(k, 60.0))}
    assert found == {
        "fine": ("FINE", None, False, False),
        "well": ("WELL", None, False, False),
        "refused": (None, "no video stream", False, False),
        "gone": (None, "cannot be read: no such device", True, False),
        "raises": (None, "KeyError: 'odd'", False, False),
        "dies": (None, "the decoder died (SIGSEGV)", False, False),
        "hangs": (None, "not finished within 1 seconds: killed", False, True),
    }


def test_a_full_disk_ends_all_work(engine) -> None:
    with pytest.raises(WriteError, match="no space left"):
        list(engine(job, ["full", *["fine"] * 50], 60.0))


def test_short_jobs_share_a_task_until_they_turn_out_long(engine, monkeypatch) -> None:
    """Each job is done once; on an idle machine some go back, because their task has no time for them."""
    monkeypatch.setattr(engines, "TASK_SECONDS", 0.4)
    seconds = [*[0.0] * 60, *[0.3] * 8]
    jobs = [f"{number} {wait}" for number, wait in enumerate(seconds)]
    started = []
    outcomes = list(engine(wait_and_name, jobs, 60.0, started.append))
    assert sorted(outcome.value for outcome in outcomes) == sorted(jobs)
    assert {*started} == {*jobs}


def wait_and_name(job: str) -> str:
    """Wait for the seconds in the job's name."""
    time.sleep(float(job.split()[1]))
    return job


def test_every_node_works_and_none_runs_more_jobs_at_once_than_it_has_cores(cluster) -> None:
    spans: dict[str, list[tuple[float, float]]] = {}
    for outcome in RayEngine(address=cluster.address)(place, [1.5] * 12, 60.0):
        node, gpus, *span = outcome.value
        assert gpus == ""
        spans.setdefault(node, []).append(tuple(span))
    assert len(spans) == 2
    fewer, more = sorted(most_at_once(found) for found in spans.values())
    assert fewer == 1
    assert more <= 3


def test_tasks_share_a_gpu_and_see_it(cluster, monkeypatch) -> None:
    """Two tasks that take half of the only GPU run at once, however many cores are free."""
    engine = RayEngine(address=cluster.address, gpus=0.5)
    found = [outcome.value for outcome in engine(place, [1.5] * 3, 60.0)]
    assert {gpus for _, gpus, _, _ in found} == {"0"}
    assert most_at_once([(begin, end) for _, _, begin, end in found]) <= 2
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0})
    with pytest.raises(VimixError, match="the Ray cluster has no GPU"):
        list(engine(place, [0.0], 60.0))


def test_an_address_without_ray_and_a_missing_extra_are_refused_in_one_line(tmp_path, capsys, monkeypatch) -> None:
    write_video(tmp_path / "videos/c/a.mp4", moving_square(6))
    command = ["prepare", "folder", tmp_path / "videos", "--out", tmp_path / "s.h5", "--flow", "none"]
    for option, value in (("--address", "127.0.0.1:1"), ("--gpus-per-task", "0.5")):
        assert vimix(*command, option, value) == 2
        assert f"{option} is for a Ray cluster: add --engine ray" in capsys.readouterr().err
    assert vimix(*command, "--engine", "ray", "--gpus-per-task", "0.5") == 2
    assert "only --flow tvl1-torch computes on a GPU" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert vimix(*command, "--engine", "ray") == 2
    assert "pip install 'vimix-ssl[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "s.h5").exists()


def test_skeletons_of_a_cluster_are_the_bytes_of_one_machine(cluster, tmp_path) -> None:
    for number in range(70):
        name = f"S001C001P{1 + number % 30:03d}R{1 + number // 30:03d}A{1 + number % 3:03d}.skeleton"
        write_walk(tmp_path / "raw" / name, number, number % 3, frames=10)
    (tmp_path / "raw/S001C001P031R001A001.skeleton").write_text("no skeleton", encoding="utf-8")
    for name, options in (("one", ["--workers", "1"]), ("many", ["--engine", "ray", "--address", cluster.address])):
        command = ["prepare", "skeletons", tmp_path / "raw", "--out", tmp_path / f"{name}.h5", "--frames", "16"]
        assert vimix(*command, *options) == 0
    for name in ("{}.h5", "{}.quarantine.csv"):
        assert (tmp_path / name.format("many")).read_bytes() == (tmp_path / name.format("one")).read_bytes()


def test_features_of_a_cluster_are_the_bytes_of_one_machine(cluster, tmp_path, monkeypatch, capsys) -> None:
    """Runs of videos are computed apart, in the same batches; parts that a killed call has finished are used."""
    bow_and_wave(tmp_path / "videos", 5)
    store, recipe, whole, spread = (tmp_path / name for name in ("s.h5", "r.toml", "whole.npz", "spread.npz"))
    options = ["--flow", "none", "--short-side", 32, "--codec", "raw", "--workers", 1]
    assert vimix("prepare", "folder", tmp_path / "videos", "--out", store, *options) == 0
    recipe.write_text('name = "small"' + SMALL.format(store=store) + '[run]\nprecision = "float32"\n')
    torch.manual_seed(0)
    state = {f"module.encoder_q.{key}": value for key, value in S3DEncoder(width=0.0625).state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    assert vimix("import", tmp_path / "moco.pth", "--modality", "rgb", "--out", tmp_path / "weights") == 0
    monkeypatch.setattr(feature_extraction, "RUN_CLIPS", 5)
    command = ["extract", recipe, tmp_path / "weights", store, "--set", "evaluate.batch_clips=3"]
    assert vimix(*command, "--device", "cpu", "--out", whole) == 0
    on_ray = [*command, "--engine", "ray", "--address", cluster.address, "--out", spread]
    with monkeypatch.context() as killed:
        killed.setattr(spread_features, "read_arrays", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            vimix(*on_ray)
    parts = sorted((tmp_path / "spread.npz.parts").glob("*/*.npz"))
    assert len(parts) >= 3
    parts[0].unlink()
    capsys.readouterr()
    assert vimix(*on_ray) == 0
    assert f"{len(parts) - 1} of {len(parts)} parts were finished before" in capsys.readouterr().err
    assert spread.read_bytes() == whole.read_bytes()
    assert not (tmp_path / "spread.npz.parts").exists()
    assert vimix(*on_ray, "--force", "--device", "cpu") == 2
    assert vimix(*on_ray, "--force", "--window", 1) == 2
    monkeypatch.undo()
    scores, caches = [], []
    for name, options in (("ray", on_ray[-6:-2]), ("here", ["--device", "cpu"])):
        out = tmp_path / f"{name}.json"
        assert vimix("evaluate", "retrieval", *command[1:3], *command[-2:], "--out", out, *options) == 0
        scores.append(json.loads(out.read_text(encoding="utf-8"))["scores"])
        caches.append({file.name: file.read_bytes() for file in (tmp_path / "weights/features").iterdir()})
        shutil.rmtree(tmp_path / "weights/features")
    assert len(caches[0]) == 4
    assert (scores[0], caches[0]) == (scores[1], caches[1])


def test_a_cluster_that_loses_a_node_in_the_middle_makes_the_bytes_that_one_machine_makes(
    cluster, tmp_path, monkeypatch
) -> None:
    """The jobs that ran there run again on the other node; a broken video is left out for the same reason."""
    for number in range(5):
        write_video(tmp_path / f"videos/c/{number}.mp4", moving_square(6 + number % 3))
    (tmp_path / "videos/c/broken.mp4").write_bytes(b"no video")
    lost = []

    class LosingEngine(RayEngine):
        def __call__(self, *arguments):
            for outcome in super().__call__(*arguments):
                if not lost:
                    lost.append(cluster.worker_nodes.copy().pop())
                    cluster.remove_node(lost[0], allow_graceful=False)
                yield outcome

    monkeypatch.setattr(engines, "RayEngine", LosingEngine)
    for name, engine in (("one", ["--workers", "1"]), ("many", ["--engine", "ray", "--address", cluster.address])):
        options = ["--flow", "dis", "--short-side", "32", "--flow-short-side", "32", *engine]
        assert vimix("prepare", "folder", tmp_path / "videos", "--out", tmp_path / f"{name}.h5", *options) == 3
    assert lost
    for name in ("{}.h5", "{}.quarantine.csv"):
        assert (tmp_path / name.format("many")).read_bytes() == (tmp_path / name.format("one")).read_bytes()
