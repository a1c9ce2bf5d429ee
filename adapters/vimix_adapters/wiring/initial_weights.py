"""Initial weights of a stage from a checkpoint, which may be incomplete: imported weights have no head or queue."""

from collections.abc import Mapping
from typing import Any

from vimix.values.checkpoint import Checkpoint


def query_state(checkpoint: Checkpoint, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """State of the query network; an imported encoder gets the projection head of the ``fresh`` network."""
    state = dict(checkpoint.parts["query"])
    if checkpoint.about.get("head") == "random":
        heads = {key: value for key, value in fresh.items() if not key.startswith("encoder.")}
        return {**{key: value for key, value in state.items() if key.startswith("encoder.")}, **heads}
    return state


def inherited_parts(checkpoint: Checkpoint, fresh: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Query, key and queue of a checkpoint. A missing key gets the query's weights, a missing queue the fresh one."""
    query = query_state(checkpoint, fresh["query"])
    parts = checkpoint.parts
    return {"query": query, "key": parts.get("key", query), "queue": parts.get("queue", fresh["queue"])}
