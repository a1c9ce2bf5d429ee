"""The settings of a store, recorded in the checkpoints that were trained on it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict

from vimix_adapters.clips.hdf5 import Hdf5VideoStore, settings_of
from vimix_adapters.clips.shards import is_store
from vimix_adapters.config.store_settings import StoreSettings

PACKING = "packing"
"""The key of ``Checkpoint.about`` that holds the settings of the store as JSON."""


def store_settings(store: str) -> StoreSettings | None:
    """The settings of the store at that path; None if there is none."""
    return Hdf5VideoStore(Path(store)).settings if is_store(Path(store)) else None


def packing_record(settings: StoreSettings | None) -> dict[str, str]:
    """The entry of ``Checkpoint.about`` with which a checkpoint can be used without its store; empty for None."""
    return {} if settings is None else {PACKING: json.dumps(asdict(settings))}


def recorded_packing(about: Mapping[str, Any]) -> StoreSettings | None:
    """The settings of the store that a checkpoint was trained on; None if the checkpoint does not record them."""
    return settings_of(json.loads(str(about[PACKING]))) if PACKING in about else None
