"""The folder with the finished parts of a store that is being made, so that no file is read twice."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text
from vimix_adapters.reading import read_json, read_text

SETTINGS = "settings.json"
"""File in the folder with the settings of its parts."""
LISTED = "listed.json"
"""File in the folder with the content of every part, finished or not: video name by file name."""


def parts_of(store: Path) -> Path:
    """Return the folder of the finished parts of a store that is being made."""
    return store.with_name(f"{store.name}.parts")


def flow_parts_of(store: Path) -> Path:
    """Return the folder of the finished flow of a store's videos."""
    return store.with_name(f"{store.name}.flow.parts")


def claim_parts(parts: Path, settings: Mapping[str, Any], listed: Mapping[str, str], replace: bool = False) -> None:
    """Make the folder of parts, or go on with an existing one; ``listed`` is the content of every part to come.

    Raises VimixError if existing parts were made with other ``settings`` and ``replace`` is false; else deletes them.
    """
    file, wanted = parts / SETTINGS, json.dumps(settings, sort_keys=True)
    if file.exists() and read_text(file, f"the settings of parts; delete {parts} to make them again") != wanted:
        if not replace:
            raise VimixError(f"{parts} holds parts made with other settings: repeat those, or delete the folder")
        shutil.rmtree(parts)
    if not file.exists():
        write_text(file, wanted)
    write_text(parts / LISTED, json.dumps(listed))


def drop_parts(parts: Path, settings: Mapping[str, Any]) -> None:
    """Delete the folder of parts if they were made with ``settings``: a killed call may leave it after the store."""
    file = parts / SETTINGS
    try:
        made = read_json(file, "the settings of parts")
    except VimixError:  # none or damaged: perhaps of other settings
        return
    if isinstance(made, dict) and json.loads(json.dumps(settings)).items() <= made.items():
        shutil.rmtree(parts, ignore_errors=True)
