"""A cause that is not a file's own leaves nothing out for good, and no output has two writers."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve
from rich.console import Console

from tests.cli import TINY, refused, vimix
from tests.fakes.store import moving_square, write_video
from vimix.values.errors import VimixError
from vimix.values.modality import RGB
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings
from vimix_adapters.datasets.class_folders import list_folder
from vimix_adapters.datasets.listing import DatasetFile
from vimix_adapters.files import Outage, telling_outages
from vimix_adapters.locks import is_locked, locked_file, locked_folder
from vimix_adapters.prepare import video_store
from vimix_adapters.prepare.build_store import PartJob
from vimix_adapters.prepare.engines import LocalEngine
from vimix_adapters.prepare.prepare_store import PrepareOptions, prepare_store
from vimix_adapters.prepare.quarantine import LeftOut, quarantine_file, read_quarantine, write_quarantine
from vimix_adapters.prepare.skeleton_store import write_part_of_skeletons
from vimix_adapters.prepare.video_store import VideoStoreBuilder, pack_frames, write_part_of_video
from vimix_adapters.skeletons.layouts import find_layout

SETTINGS = PackSettings(short_side=32, flow="none", flow_short_side=32, codec="raw")
QUIET = Console(quiet=True)


def then_gone(job: PartJob, folder: Path) -> None:
    """Pack one video, after which the disk with the videos goes away."""
    write_part_of_video(job, SETTINGS)
    folder.rename(folder.with_name("gone"))


def stop(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_videos_that_were_away_are_added_by_the_next_call_and_broken_ones_when_asked(tmp_path, monkeypatch) -> None:
    videos, store = tmp_path / "videos", tmp_path / "s.h5"
    for number, name in enumerate("abc"):
        write_video(videos / f"bow/{name}.mp4", moving_square(4 + number, 32, 40))
    (videos / "wave").mkdir()
    (videos / "wave/broken.mp4").write_text("no video")
    listing = list_folder(videos)
    builder = VideoStoreBuilder(SETTINGS, 60)
    going = PrepareOptions(evolve(builder, work=partial(then_gone, folder=videos)), LocalEngine(1))

    report = prepare_store(listing, store, going, QUIET)
    assert (report.stored, report.exit_code, len(report.passing)) == (1, 3, 3)
    assert "for a reason outside the files (the first: bow/b.mp4: cannot be read: No such file" in report.advice[-1]

    (tmp_path / "gone").rename(videos)
    expected = [pack_frames(videos / f"bow/{name}.mp4", SETTINGS)[0][RGB] for name in "abc"]
    (videos / "bow/a.mp4").write_text("its frames are in the store: nobody reads this")
    again = PrepareOptions(builder, LocalEngine(1))
    with monkeypatch.context() as patch:
        patch.setattr(video_store, "merge_parts", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare_store(listing, store, again, QUIET)
    report = prepare_store(listing, store, again, QUIET)
    assert (report.stored, report.passing, dict(report.unreadable or {}).keys()) == (3, (), {"wave/broken.mp4"})
    made = Hdf5VideoStore(store)
    assert [video.name for video in made.videos] == ["bow/a.mp4", "bow/b.mp4", "bow/c.mp4"]
    assert all(np.array_equal(made.read(i, RGB, 0, len(frames)), frames) for i, frames in enumerate(expected))

    write_video(videos / "wave/broken.mp4", moving_square(4, 32, 40))
    assert prepare_store(listing, store, again, QUIET).stored == 3
    report = prepare_store(listing, store, evolve(again, retry=True), QUIET)
    assert (report.stored, report.exit_code, read_quarantine(store)) == (4, 0, [])
    assert not (tmp_path / "s.h5.parts").exists()


def test_the_cause_decides_whether_the_next_call_tries_again(tmp_path) -> None:
    sound, circle = tmp_path / "a.mp4", tmp_path / "b.mp4"
    sound.write_text("no video")
    circle.symlink_to(circle.name)

    def blamed(path: Path, error: Exception) -> str:
        with pytest.raises(VimixError) as caught, telling_outages(path):
            raise error
        return type(caught.value).__name__

    assert blamed(sound, VimixError("damaged")) == "VimixError"
    assert blamed(circle, VimixError("cannot be opened")) == "VimixError"
    assert blamed(sound, MemoryError()) == "Outage"
    assert blamed(tmp_path / "missing/a.mp4", VimixError("cannot be opened")) == "Outage"
    if Path("/proc/self/mem").exists():
        assert blamed(Path("/proc/self/mem"), VimixError("damaged")) == "Outage", "EIO"


def test_a_skeleton_file_that_is_away_stops_the_part(tmp_path) -> None:
    file = DatasetFile(tmp_path / "a.skeleton", "a", None, "a", ())
    with pytest.raises(Outage, match="cannot be read: No such file"):
        write_part_of_skeletons(PartJob((file,), tmp_path / "p.h5"), SkeletonSettings(find_layout("ntu")))
    assert not (tmp_path / "p.h5").exists()


def test_a_second_writer_of_a_store_of_its_flow_or_of_an_index_is_refused(tmp_path, capsys) -> None:
    out, recipe = tmp_path / "s.h5", tmp_path / "tiny.toml"
    recipe.write_text(TINY.format(store=out))
    write_video(tmp_path / "videos/bow/a.mp4", moving_square(4, 32, 40))
    prepare = ["prepare", "folder", tmp_path / "videos", "--out", out, "--flow", "none", "--short-side", 32]
    assert vimix(*prepare, "--workers", 1) == 0
    build = ["index", "build", recipe, tmp_path / "last.pt", out, "--out", out, "--force"]
    with locked_file(out, "writing"):
        for command in ([*prepare, "--force"], ["flow", out, "--method", "dis"], build):
            (line,) = refused(capsys, *command).splitlines()
            assert f"{out}: another process is " in line
        with locked_file(out, "adding flow", "shard-1-of-2"), locked_file(out, "adding flow", "shard-2-of-2"):
            pass
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".lock")]
    with locked_folder(tmp_path / "run", "training"):
        assert is_locked(tmp_path / "run")
    assert not is_locked(tmp_path / "run")


def test_files_whose_names_differ_in_bytes_that_are_no_text_stay_apart(tmp_path) -> None:
    names = [b"a\xff.mp4", b"a\xfe.mp4", rb"a\xff.mp4", rb"a\\xff.mp4", b"a\\\xff.mp4"]
    for name in names:
        path = tmp_path / "bow" / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = [file.name for file in list_folder(tmp_path).files]
    assert len(set(found)) == len(names), found
    assert r"bow/a\xfe.mp4" in found


def test_the_list_of_what_was_left_out_comes_back_and_holds_no_formula(tmp_path) -> None:
    rows = [
        LeftOut(name, "-1 frames", passing)
        for name in ("=cmd", "'=x", "+1", "@a", "plain, x", " b")
        for passing in (True, False)
    ]
    write_quarantine(tmp_path / "s.h5", rows)
    assert read_quarantine(tmp_path / "s.h5") == rows
    cells = [line.split(",")[0] for line in quarantine_file(tmp_path / "s.h5").read_text().splitlines()]
    assert not [cell for cell in cells if cell[0] in "=+-@"]


def test_a_list_of_an_older_version_has_nothing_to_try_again(tmp_path) -> None:
    quarantine_file(tmp_path / "s.h5").write_text("path,reason\nbow/a.mp4,empty file\n")
    assert read_quarantine(tmp_path / "s.h5") == [LeftOut("bow/a.mp4", "empty file")]


HOLDS_THE_LOCK = """
import os, re, sys
from pathlib import Path
from vimix_adapters.prepare.worker_pool import run_jobs
import helper_of_this_test
list(run_jobs(helper_of_this_test.hold, [sys.argv[1]], 1, 1000))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel ends workers on Linux only")
def test_a_worker_whose_library_never_returns_ends_with_its_killed_parent(tmp_path) -> None:
    """The script has no ``if __name__ == "__main__"``: the worker does not run it again."""
    (tmp_path / "helper_of_this_test.py").write_text(
        "import os, re\nfrom pathlib import Path\n\n\ndef hold(file):\n    Path(file).write_text(str(os.getpid()))\n"
        "    re.match('(a+)+b', 'a' * 60)  # holds Python's lock for years\n"
    )
    (tmp_path / "script.py").write_text(HOLDS_THE_LOCK)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(tmp_path / "worker")])
    while not (tmp_path / "worker").exists() or not (tmp_path / "worker").read_text():
        assert parent.poll() is None
        time.sleep(0.05)
    worker = (tmp_path / "worker").read_text()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(worker)


def running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
