"""What exported weights are, were trained on and may be used for: markdown beside the file."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore

INPUTS = {
    "rgb": "R, G, B in 0 to 1, normalised by ImageNet's mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225)",
    "flow": "(u, v) divided by the store's bound, so within -1 to 1",
}
LICENCE = """\
The code is Apache-2.0. The weights are a product of the videos they were trained on: their use is bound by the terms of
those videos, which vimix does not know. Kinetics, UCF101 and HMDB51 are distributed for research; NTU RGB+D needs a
signed request and forbids passing data on. Check the terms of your data before you publish what was trained on it."""


def model_card(checkpoint: Checkpoint, recipe: config.Recipe, origin: Path, format_name: str, note: str) -> str:
    """The card in markdown. Scores come from a ``results.json`` beside the run, where there is one."""
    settings, data = recipe.modalities[checkpoint.modality], recipe.data
    results = _results(origin)
    scores = list(_scores(results, checkpoint))
    lines = [
        f"# {checkpoint.modality} encoder of {recipe.name}",
        "",
        f"Format: {format_name}. {note}.",
        "",
        "| | |",
        "| --- | --- |",
        f"| encoder | {settings.encoder}, width {settings.width:g}, {settings.channels} channels |",
        f"| input | [B, {settings.channels}, {data.frames}, {data.size}, {data.size}] float32, every "
        f"{data.stride}. frame; {INPUTS.get(checkpoint.modality, 'as the recipe says')} |",
        f"| data | store fingerprint {_fingerprint(checkpoint, recipe, results)}, split {data.train_split!r} |",
        *(f"| {key} | {value} |" for key, value in checkpoint.about.items()),
        "",
        "## Scores",
        "",
        *(scores or ["None recorded beside this checkpoint."]),
        "",
        "## Licence and data terms",
        "",
        LICENCE,
        "",
        "## Recipe",
        "",
        "```toml",
        checkpoint.recipe.strip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _results(origin: Path) -> Mapping[str, Any]:
    """``results.json`` of the run (``RUN/ARM/STAGE/last.pt``), empty if there is none to be read."""
    folder = origin if origin.is_dir() else origin.parent
    for place in (folder, *folder.resolve().parents[:2]):
        file = place / "results.json"
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _scores(results: Mapping[str, Any], checkpoint: Checkpoint) -> Iterator[str]:
    """Lines of the modality in the table of the run; every arm, for comparison."""
    rows = [row for row in results.get("rows", []) if checkpoint.modality in str(row.get("modality", "")).split(" + ")]
    for number, row in enumerate(rows):
        names = list(row["scores"])
        if number == 0:
            yield f"Per cent, from the run's results.json; this checkpoint: arm {checkpoint.about.get('arm', '?')!r}."
            yield ""
            yield "| arm | modality | " + " | ".join(names) + " |"
            yield "| --- | --- |" + " ---: |" * len(names)
        yield f"| {row['arm']} | {row['modality']} | " + " | ".join(_cent(row["scores"][name]) for name in names) + " |"


def _cent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, int | float) else str(value)


def _fingerprint(checkpoint: Checkpoint, recipe: config.Recipe, results: Mapping[str, Any]) -> str:
    """Of the store that was trained on: as the checkpoint says, else the run's results, else the store itself."""
    recorded = checkpoint.about.get("data") or results.get("about", {}).get("data")
    if recorded:
        return str(recorded)
    try:
        return f"{Hdf5VideoStore(Path(recipe.data.store)).fingerprint} (of {recipe.data.store} as it is now)"
    except (VimixError, OSError, KeyError):
        return "not recorded"
