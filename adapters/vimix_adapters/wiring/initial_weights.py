"""Initial weights of a stage from a checkpoint, which may be incomplete: imported weights have no head or queue."""

from collections.abc import Mapping
from typing import Any

import structlog

from vimix.values.checkpoint import Checkpoint

_log = structlog.get_logger()


def query_state(checkpoint: Checkpoint, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """State of the query network; an imported encoder gets the projection head of the ``fresh`` network."""
    state = dict(checkpoint.parts["query"])
    if checkpoint.about.get("head") == "random":
        heads = {key: value for key, value in fresh.items() if not key.startswith("encoder.")}
        return {**{key: value for key, value in state.items() if key.startswith("encoder.")}, **heads}
    return state


def inherited_parts(
    checkpoint: Checkpoint, fresh: Mapping[str, Mapping[str, Any]], data: str
) -> dict[str, Mapping[str, Any]]:
    """Query, key and queue of a checkpoint. A missing key gets the query's weights, a missing queue the fresh one.

    So does the queue of another data set than the one with fingerprint ``data``: its entries number the recordings of
    that set (section 5 of the method).
    """
    query = query_state(checkpoint, fresh["query"])
    parts, trained_on = checkpoint.parts, checkpoint.progress.origin.get("data")
    queue = parts.get("queue", fresh["queue"])
    if "queue" in parts and trained_on != data:
        _log.info(
            "queue.starts_empty", modality=checkpoint.modality, reason=f"its keys are of other data ({trained_on})"
        )
        queue = fresh["queue"]
    # Keys of a partner beside them are of an encoder that has been trained since.
    queue = {name: value for name, value in queue.items() if name != "paired" and not name.startswith("keys.")}
    return {"query": query, "key": parts.get("key", query), "queue": queue}
