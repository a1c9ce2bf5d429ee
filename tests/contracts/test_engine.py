"""The contract of engines, run on our own worker processes and on a Ray cluster of two nodes."""

import os
import signal
import sys
import time
import warnings

import pytest

from tests.cli import vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix_adapters.files import Outage, WriteError
from vimix_adapters.prepare import engines
from vimix_adapters.prepare.engines import RayEngine
from vimix_adapters.prepare.worker_pool import allow, run_jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # on a busy machine a node of Ray takes minutes


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes, processes of this machine, with one core each."""
    ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False)
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
    return run_jobs if request.param == "local" else RayEngine(request.getfixturevalue("cluster").address)


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


def test_each_job_has_its_own_outcome_and_no_other_pays_for_it(engine) -> None:
    kinds = ["fine", "hangs", "refused", "dies", "gone", "raises", "long", "well"]
    limits = {"hangs": 1.0, "long": 2.0}
    found = {
        o.job: (o.value, o.reason, o.passing, o.hung) for o in engine(job, kinds, 2, lambda k: limits.get(k, 60.0))
    }
    assert found == {
        "fine": ("FINE", None, False, False),
        "long": ("LONG", None, False, False),
        "well": ("WELL", None, False, False),
        "refused": (None, "no video stream", False, False),
        "gone": (None, "cannot be read: no such device", True, False),
        "raises": (None, "KeyError: 'odd'", False, False),
        "dies": (None, "the decoder died (SIGSEGV)", False, False),
        "hangs": (None, "not finished within 1 seconds: killed", False, True),
    }


def test_a_full_disk_ends_all_work(engine) -> None:
    with pytest.raises(WriteError, match="no space left"):
        list(engine(job, ["full", *["fine"] * 50], 1, 60.0))


def test_an_address_without_ray_and_a_missing_extra_are_refused_in_one_line(tmp_path, capsys, monkeypatch) -> None:
    write_video(tmp_path / "videos/c/a.mp4", moving_square(6))
    command = ["prepare", "folder", tmp_path / "videos", "--out", tmp_path / "s.h5", "--flow", "none"]
    assert vimix(*command, "--address", "127.0.0.1:1") == 2
    assert "add --engine ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert vimix(*command, "--engine", "ray") == 2
    assert "pip install 'vimix-ssl[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "s.h5").exists()
