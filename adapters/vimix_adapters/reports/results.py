"""The record of one evaluation as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, field, frozen

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.outputs import json_with
from vimix_adapters.reports.environment import commit, machine, versions
from vimix_adapters.reports.read_json import structured

FORMAT = "vimix-results-1"
RECORD = json_with("the JSON of an evaluation", value=FORMAT)
EXPECTED = "the JSON of an evaluation (vimix evaluate ... --out FILE.json)"
OPTIONAL = ("recipe", "tested_on", "best_on_test")


@frozen
class ResultRecord:
    """Everything needed to judge a number and to compute it again."""

    task: str
    """``retrieval``, ``linear`` or ``finetune``."""
    scores: Mapping[str, float]
    """0 to 1, by name: ``R@1`` ... or ``top-1``, ``top-5``."""
    untrained: Mapping[str, float]
    """The same scores of the same encoder with random weights; empty where these are a run of their own, not named."""
    protocol: Mapping[str, Any]
    """In full: windows, crop, centring, similarity, choice of the penalty, ..."""
    videos: Mapping[str, int]
    """How many, by split."""
    seed: int
    data: str
    """The store's fingerprint."""
    checkpoints: Mapping[str, Mapping[str, Any]]
    """What each checkpoint says of itself, by modality."""
    recipe: str = ""
    """Its name."""
    tested_on: str = ""
    """Name of another data set than the recipe's own (``evaluate.stores``)."""
    best_on_test: Mapping[str, float] = field(factory=dict)
    """Where asked for: the score of the epoch chosen on the test videos themselves, as some peers do."""
    machine: str = field(factory=machine)
    """Its class, see ``environment.machine``."""
    commit: str = field(factory=commit)
    versions: Mapping[str, str] = field(factory=versions)


def write_results(path: Path, record: ResultRecord) -> None:
    """Write a record to one JSON file, atomically. Raises TypeError for a value that JSON does not have."""
    given = {name: value for name, value in asdict(record, recurse=False).items() if value or name not in OPTIONAL}
    write_json(path, {"format": FORMAT, **given})


def read_results(path: Path) -> ResultRecord:
    """A record that ``write_results`` wrote. Raises VimixError if the file is missing or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VimixError(f"no such file: {path}") from error
    except (OSError, ValueError) as error:
        raise VimixError(f"{path}: expected {EXPECTED}, but it cannot be read ({error})") from error
    return record_of(content, path)


def record_of(content: object, path: Path) -> ResultRecord:
    """The record from the content of its file. Raises VimixError if it is another file, or was changed."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise VimixError(f"{path}: expected {EXPECTED}, of format {FORMAT}")
    return structured(content, ResultRecord, path, EXPECTED)


def unlike(record: ResultRecord, other: ResultRecord) -> list[str]:
    """What of two evaluations differs that must not, for their scores to be compared; seeds may."""
    if set(record.checkpoints) != set(other.checkpoints):
        return ["modalities"]
    names = ("task", "tested_on", "data", "videos")
    one, two = (_read_back({**{name: getattr(r, name) for name in names}, **r.protocol}) for r in (record, other))
    return sorted(name for name in {*one, *two} if one.get(name) != two.get(name))


def _read_back(value: Mapping[str, object]) -> dict[str, object]:
    """As it is after a way through JSON: lists for tuples."""
    return dict(json.loads(json.dumps(value, default=_plain)))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write plain data, NumPy numbers and arrays, paths and frozen mappings as readable JSON, atomically.

    Raises ValueError for a number that is not finite (JSON has none), TypeError for any other value.
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
