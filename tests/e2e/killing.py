"""``python -m tests.e2e.killing FOLDER``: a short plan, unbroken, and asked to stop and killed over and over.

Each attempt is a process of its own that runs the real command line. A kill comes at an event: a training step before
or after its update, half a checkpoint on the disk, a file just before it gets its name, half a row of metrics, an
evaluation. The first kills are aimed, the others fall at random.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.cli import SMALL
from vimix.values.modality import FLOW, RGB
from vimix_adapters.checkpoints import checkpoint_folder
from vimix_adapters.cli import main as command_line
from vimix_adapters.clips.hdf5_writer import Entry, merge_parts, write_part
from vimix_adapters.commands import scores
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.encoders.contrastive_network import TorchOptimiser
from vimix_adapters.metrics import jsonl

AIMED = (("half a checkpoint", 2), ("second name", 1), ("half a row", 1), ("new name", 4), ("updated", 3))
"""An event and the how manieth of its kind is the end."""
RANDOM = 5
PATIENCE = 180
"""Seconds after which an attempt that should take a few is held to hang."""
RECIPE = (
    'name = "killed"'
    + SMALL
    + """
[modalities.flow]
width = 0.0625
channels = 2
[contrast]
queue = 10
embedding = 16
momentum = 0.9
[pretrain]
epochs = 2
milestones = [1]
[cmmc]
epochs = 2
milestones = []
[evaluate]
probe_inverse_regularisation = [0.1, 1.0]
[run]
log_every = 3
checkpoint_steps = 2
precision = "float32"
[arms.vimix]
stages = [{{ pretrain = "rgb" }}, {{ pretrain = "flow" }}, {{ cmmc = "rgb", partner = "flow" }}]
"""
)


class Events:
    """Counts what happens, and ends the process at the n-th event of a kind (of any kind if it is None)."""

    def __init__(self, kind: str | None, number: int, by: signal.Signals = signal.SIGKILL) -> None:
        self.left, self.kind, self.by, self.seen = number, kind, by, 0

    def __call__(self, kind: str, first: Callable[[], Any] = lambda: None) -> None:
        self.seen += 1
        if self.kind not in (None, kind):
            return
        self.left -= 1
        if self.left == 0:
            first()
            print(f"{self.by.name}: {kind}", flush=True)
            os.kill(os.getpid(), self.by)

    def watch(self) -> None:
        """Put an event into everything that changes a file or the state."""
        step, record, extract = TorchOptimiser.step, jsonl.JsonlMetrics.record, scores.extract_features
        write, replace, link = Path.write_bytes, Path.replace, os.link

        def stepping(optimiser: TorchOptimiser, loss: torch.Tensor) -> torch.Tensor:
            self("gradient")
            skipped = step(optimiser, loss)
            self("updated")
            return skipped

        def recording(sink: Any, number: int, values: Any) -> None:
            line = json.dumps({"step": number, **values})
            self("half a row", lambda: sink.path.open("a").write(line[: len(line) // 2]))
            record(sink, number, values)

        def extracting(*arguments: Any, **named: Any) -> Any:
            self("evaluation")
            return extract(*arguments, **named)

        def writing(path: Path, data: Any) -> int:
            self("half a checkpoint", lambda: write(path, bytes(data)[: len(data) // 2]))
            return write(path, data)

        def renaming(path: Path, target: Path) -> Path:
            self("new name")
            return replace(path, target)

        def linking(source: Path, target: Path) -> None:
            self("second name")
            link(source, target)

        TorchOptimiser.step, jsonl.JsonlMetrics.record, scores.extract_features = stepping, recording, extracting
        Path.write_bytes, Path.replace, checkpoint_folder.os.link = writing, renaming, linking


def run_and_report(arguments: list[str], kind: str | None, number: int, by: str, report: Path) -> None:
    """What the process of an attempt does: the command, until it ends or an event ends it."""
    torch.set_num_threads(1)
    events = Events(kind, number, signal.Signals[by])
    events.watch()
    sys.argv = ["vimix", *arguments]
    code = 0
    try:
        command_line.run()
    except SystemExit as end:
        code = int(end.code or 0)
    report.write_text(str(events.seen))
    sys.exit(code)


def attempt(
    arguments: list[str], kind: str | None, number: int, report: Path, by: signal.Signals = signal.SIGKILL
) -> bool:
    """Run the command in a process of its own; whether it came to its end. By SIGUSR1 it ends with code 75."""
    told = json.dumps([arguments, kind, number, by.name, str(report)])
    done = subprocess.run([sys.executable, "-m", "tests.e2e.killing", told], check=False, timeout=PATIENCE)
    if done.returncode not in (0, -signal.SIGKILL if by == signal.SIGKILL else 75):
        sys.exit(f"the command ended with {done.returncode}")
    return done.returncode == 0


def make_store(path: Path) -> None:
    """Twelve videos to train on and four to ask for."""
    settings, entries = PackSettings(codec="raw", flow="dis", short_side=32), []
    for number in range(16):
        rng = np.random.default_rng(number)
        frames = {
            modality: rng.integers(0, 256, (12, 32, 40, channels), dtype=np.uint8)
            for modality, channels in ((RGB, 3), (FLOW, 2))
        }
        part = path.with_name(f"{number}.part")
        write_part(part, frames, 30.0, settings)
        entries.append(Entry(part, f"v{number}", number % 2, f"s{number}", ("test" if number >= 12 else "train",)))
    merge_parts(path, entries, ["a", "b"], settings, 0)


def make_place(folder: Path) -> Path:
    """Write that store and a recipe on it, ``r.toml``."""
    make_store(folder / "s.h5")
    (folder / "r.toml").write_text(RECIPE.format(store=folder / "s.h5"))
    return folder


def main(place: Path) -> None:
    make_place(place)
    command, report = ["run", str(place / "r.toml"), "--device", "cpu", "--out"], place / "events"
    attempt([*command, str(place / "unbroken")], None, 0, report)
    total, rng = int(report.read_text()), np.random.default_rng(11)
    killed = [*command, str(place / "killed")]
    if attempt(killed, "updated", 1, report, by=signal.SIGUSR1):
        sys.exit("it was asked to stop, and did not")
    kills = [*AIMED, *((None, int(rng.integers(1, total // 8))) for _ in range(RANDOM))]
    for kind, number in kills:
        if attempt(killed, kind, number, report):
            sys.exit(f"it came to its end before event {number} of {kind or 'any kind'}")
    attempt(killed, None, 0, report)


if __name__ == "__main__":
    if sys.argv[1].startswith("["):
        arguments, kind, number, by, report = json.loads(sys.argv[1])
        run_and_report(arguments, kind, number, by, Path(report))
    else:
        main(Path(sys.argv[1]))
