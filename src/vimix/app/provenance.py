"""What a training was made from: a checkpoint says it, and a run goes on only from one that says the same."""

from collections.abc import Mapping

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError

Provenance = Mapping[str, str]
"""Digests by the name that a message has for the thing: the data, the weights it starts from, the settings."""


def require_provenance(last: Checkpoint, origin: Provenance, stage: str) -> None:
    """Raise VimixError unless ``last``, a checkpoint of ``stage``, was made from the same.

    What the checkpoint does not know of (it may be older than the knowledge) is taken to be the same.
    """
    found = provenance_of(last)
    if changed := [name for name, digest in origin.items() if found.get(name, digest) != digest]:
        raise VimixError(
            f"{stage} was begun with other {_and(changed)}: put that back as it was, or begin another run "
            f"(to train this stage anew, delete its folder)"
        )


def provenance_of(checkpoint: Checkpoint) -> Provenance:
    """What the checkpoint says of itself."""
    given: Provenance = checkpoint.parts.get("progress", {}).get("origin", {})
    data = checkpoint.about.get("data")  # older ones say only this
    return given if given or data is None else {"data": str(data)}


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
