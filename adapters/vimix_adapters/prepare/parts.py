"""The folder of finished videos beside a store that is being made, so that nothing is done twice."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vimix.values.errors import VimixError
from vimix_adapters.files import write_text

SETTINGS = "settings.json"
"""What the parts were made with."""
LISTED = "listed.json"
"""The name of the video of each part that there is to be."""


def parts_of(store: Path) -> Path:
    """Where the finished videos of a store lie that is not finished."""
    return store.with_name(f"{store.name}.parts")


def flow_parts_of(store: Path) -> Path:
    """Where the flow of a store's videos lies until all have theirs."""
    return store.with_name(f"{store.name}.flow.parts")


def claim_parts(parts: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or find it; raises VimixError if its parts were made with other settings."""
    file = parts / SETTINGS
    asked = json.dumps(settings, sort_keys=True)
    if file.exists() and file.read_text(encoding="utf-8") != asked:
        raise VimixError(f"{parts} holds videos packed with other settings: repeat those, or delete the folder")
    if not file.exists():
        write_text(file, asked)


def list_parts(parts: Path, names: Mapping[str, str]) -> None:
    """Note the video of each part (file name to video) that there is to be."""
    write_text(parts / LISTED, json.dumps(names))
