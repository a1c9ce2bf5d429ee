"""Initial weights of a stage from a checkpoint, which may be incomplete: imported weights have no head or queue."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError

_log = structlog.get_logger()


@contextmanager
def fitting(what: str, to: str) -> Iterator[None]:
    """Turn the error of loading weights of other names or shapes into a VimixError: ``what`` does not fit ``to``."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise VimixError(f"{what} does not fit {to}: {' '.join(str(error).split())[:300]}") from error


def query_state(checkpoint: Checkpoint, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """State of the query network; an imported or finetuned encoder gets the head of the ``fresh`` network."""
    if "query" in checkpoint.parts and checkpoint.about.get("head") != "random":
        return dict(checkpoint.parts["query"])
    heads = {key: value for key, value in fresh.items() if not key.startswith("encoder.")}
    return {**{key: value for key, value in checkpoint.trained.items() if key.startswith("encoder.")}, **heads}


def inherited_parts(
    checkpoint: Checkpoint, fresh: Mapping[str, Mapping[str, Any]], data: str
) -> dict[str, Mapping[str, Any]]:
    """Query, key and queue of a checkpoint. A missing key gets the query's weights, a missing queue the fresh one.

    A queue of another size is replaced too, and one of another data set than that with fingerprint ``data``, because
    its entries number the recordings of that set (section 5 of the method). The classifier of a checkpoint that was
    trained with labels is left out, with a line in the log.
    """
    query = query_state(checkpoint, fresh["query"])
    parts, trained_on = checkpoint.parts, checkpoint.progress.origin.get("data")
    if "query" not in parts:
        _log.info("classifier.left_out", modality=checkpoint.modality, reason="the encoder gets a new projection head")
    queue = parts.get("queue", fresh["queue"])
    size, wanted = (len(state["keys"]) for state in (queue, fresh["queue"]))
    reason = (
        f"its keys are of other data ({trained_on})" if trained_on != data else f"it held {size} keys, not {wanted}"
    )
    if "queue" in parts and (trained_on != data or size != wanted):
        _log.info("queue.starts_empty", modality=checkpoint.modality, reason=reason)
        queue = fresh["queue"]
    # Keys of a partner beside them are of an encoder that has been trained since.
    queue = {name: value for name, value in queue.items() if name != "paired" and not name.startswith("keys.")}
    return {"query": query, "key": parts.get("key", query), "queue": queue}
