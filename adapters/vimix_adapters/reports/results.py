"""The record of an evaluation, as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.reading import read_json
from vimix_adapters.reports.environment import commit, machine, versions
from vimix_adapters.structuring import structured

FORMAT = "vimix-results-1"
EXPECTED = "the JSON of an evaluation (vimix evaluate ... --out FILE.json)"
OPTIONAL = ("recipe", "tested_on", "best_on_test", "by_class", "fractions")
"""Attributes that are left out of the file if they are empty."""


@frozen
class ResultRecord:
    """The scores of an evaluation, with everything needed to judge and to reproduce them."""

    task: str
    """``retrieval``, ``linear``, ``linear-end-to-end`` or ``finetune``."""
    scores: Mapping[str, float]
    """Scores from 0 to 1 by name: ``R@1`` ... or ``top-1``, ``top-5``."""
    untrained: Mapping[str, float]
    """The same scores of encoders with random weights; empty for a training without ``--baseline``."""
    protocol: Mapping[str, Any]
    """All settings of the evaluation: windows, crop, centring, similarity, choice of the penalty, ..."""
    videos: Mapping[str, int]
    """Number of videos by split."""
    seed: int
    """Seed of the recipe that evaluates."""
    data: str
    """Fingerprint of the store."""
    checkpoints: Mapping[str, Mapping[str, Any]]
    """Provenance of each checkpoint by modality."""
    recipe: str = ""
    """Name of the recipe."""
    tested_on: str = ""
    """Key in [evaluate.stores] of another data set than the recipe's own."""
    best_on_test: Mapping[str, float] = field(factory=dict)
    """Epoch chosen on the test videos and its score, as some peers report it; empty unless requested."""
    by_class: Mapping[str, float] = field(factory=dict)
    """Top-1 accuracy of the test videos of each class, 0 to 1; empty for retrieval."""
    fractions: Sequence[Mapping[str, Any]] = ()
    """Top-1 accuracies of probes trained on fractions of the training videos, see ``FractionScores``."""
    machine: str = field(factory=machine)
    """Class of the machine, see ``environment.machine``."""
    commit: str = field(factory=commit)
    """Commit of vimix, see ``environment.commit``."""
    versions: Mapping[str, str] = field(factory=versions)
    """Versions of libraries by name."""


def write_results(path: Path, record: ResultRecord) -> None:
    """Write a record to a JSON file, atomically. Raises TypeError for a value that JSON cannot hold."""
    given = {name: value for name, value in asdict(record, recurse=False).items() if value or name not in OPTIONAL}
    write_json(path, {"format": FORMAT, **given})


def read_results(path: Path) -> ResultRecord:
    """Read a record of ``write_results``. Raises VimixError if the file is missing or not such a record."""
    return record_of(read_json(path, EXPECTED), path)


def record_of(content: object, path: Path) -> ResultRecord:
    """Return the record from the parsed content of its file. Raises VimixError if it is not a valid record."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise VimixError(f"{path}: expected {EXPECTED}, of format {FORMAT}")
    return structured(content, ResultRecord, path, EXPECTED)


def unlike(record: ResultRecord, other: ResultRecord) -> list[str]:
    """Names of the settings, other than seeds, whose difference makes the scores of two evaluations incomparable."""
    if set(record.checkpoints) != set(other.checkpoints):
        return ["modalities"]
    names = ("task", "tested_on", "data", "videos")
    told = [{**{name: getattr(each, name) for name in names}, **each.protocol} for each in (record, other)]
    one, two = json.loads(json.dumps(told, default=_plain))  # as read from their files, with lists for tuples
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data, NumPy numbers and arrays, paths and mappings as indented JSON, atomically.

    Raises ValueError for a number that is not finite, which JSON cannot hold, and TypeError for any other value.
    """
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} cannot be written as JSON")
