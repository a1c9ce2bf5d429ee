"""Running the command line in the process of a test, and a recipe small enough for it."""

import sys

import pytest

from vimix_adapters.cli import main

SMALL = """
[data]
store = "{store}"
frames = 8
size = 32
workers = 0
[optim]
batch = 4
[modalities.rgb]
width = 0.0625
"""
"""The common part of recipes for tests, in which ``store`` is to be filled in."""

TINY = (
    'name = "tiny"'
    + SMALL
    + """
[modalities.flow]
width = 0.0625
channels = 2
[contrast]
queue = 10
momentum = 0.9
[pretrain]
epochs = 2
milestones = [1]
[cmmc]
epochs = 1
milestones = []
[run]
log_every = 1
precision = "float32"
[arms.moco]
about = "MoCo"
stages = [
  {{ pretrain = "rgb", mix = {{ policy = "none" }} }},
  {{ pretrain = "flow", mix = {{ policy = "none" }} }},
]
[arms.vimix]
about = "Vi-Mix"
stages = [
  {{ pretrain = "rgb" }},
  {{ pretrain = "flow" }},
  {{ cmmc = "rgb", partner = "flow" }},
  {{ cmmc = "flow", partner = "rgb" }},
]
"""
)


ONE_STREAM = (
    'name = "small"'
    + SMALL
    + """
[contrast]
queue = 6
embedding = 16
[pretrain]
epochs = 1
milestones = []
[finetune]
epochs = 2
milestones = []
dropout = 0.0
[run]
precision = "float32"
"""
)
"""A recipe without arms, for the commands that train a single modality."""


def sets(*settings: str) -> list[str]:
    """Return the options that change these keys of a recipe."""
    return [word for setting in settings for word in ("--set", setting)]


def vimix(*arguments: object) -> int:
    """Run the command in this process; its exit code."""
    before, stderr = sys.argv, sys.stderr
    sys.argv = ["vimix", *map(str, arguments)]
    try:
        main.run()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv, sys.stderr = before, stderr
    return 0


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that succeeds; what it printed on standard output."""
    capsys.readouterr()
    assert vimix(*arguments) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that is refused: exit code 2 without a traceback; what it printed on standard error."""
    capsys.readouterr()
    assert vimix(*arguments) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told
