"""The folder of finished parts beside a store that is being made, so that nothing is done twice."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text

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
    if file.exists() and file.read_text(encoding="utf-8") != wanted:
        if not replace:
            raise VimixError(f"{parts} holds parts made with other settings: repeat those, or delete the folder")
        shutil.rmtree(parts)
    if not file.exists():
        write_text(file, wanted)
    write_text(parts / LISTED, json.dumps(listed))


def drop_parts(parts: Path, settings: Mapping[str, Any]) -> None:
    """Delete the folder of parts if they were made with ``settings``: a killed call may leave it after the store."""
    file = parts / SETTINGS
    made = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if json.loads(json.dumps(settings)).items() <= made.items():
        shutil.rmtree(parts, ignore_errors=True)
