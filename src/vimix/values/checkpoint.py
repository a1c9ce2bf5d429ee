"""A checkpoint: named parts, whole or absent."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

FORMAT = "vimix-checkpoint-1"


@frozen(eq=False)
class Checkpoint:
    """State of a training stage, made of tensors and plain data only, so that it loads with ``weights_only=True``.

    ``parts`` maps a part's name (``query``, ``key``, ``queue``, ``optimiser``, ``progress``) to its state.
    ``recipe`` is the resolved recipe as TOML: a checkpoint opens alone.
    """

    modality: str
    recipe: str
    parts: Mapping[str, Mapping[str, Any]]
    about: Mapping[str, str | int | float]
    """Stage name, arm, epoch, vimix and torch version, commit."""
