"""What a stage takes over from a checkpoint that lacks some of it: imported weights have no head and no queue."""

from collections.abc import Mapping
from typing import Any

from vimix.values.checkpoint import Checkpoint


def query_state(checkpoint: Checkpoint, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """State of the query network; an imported encoder gets the ``fresh`` network's projection head."""
    state = dict(checkpoint.parts["query"])
    if checkpoint.about.get("head") == "random":
        heads = {key: value for key, value in fresh.items() if not key.startswith("encoder.")}
        return {**{key: value for key, value in state.items() if key.startswith("encoder.")}, **heads}
    return state


def inherited_parts(checkpoint: Checkpoint, fresh: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Query, key and queue of the checkpoint; where it has none, the query's weights for the key and a fresh queue."""
    query = query_state(checkpoint, fresh["query"])
    parts = checkpoint.parts
    return {"query": query, "key": parts.get("key", query), "queue": parts.get("queue", fresh["queue"])}
