"""Provenance of a training: a run continues only from a checkpoint that was started from the same."""

from collections.abc import Mapping

from vimix.values.errors import VimixError

Provenance = Mapping[str, str]
"""Digests of data, initial weights and settings, by the names that messages use."""


def require_provenance(found: Provenance, expected: Provenance, stage: str) -> None:
    """Raise VimixError if a checkpoint of ``stage`` with provenance ``found`` was started from something else.

    Names that the checkpoint does not have (it may be older than they are) are not compared.
    """
    if changed := [name for name, digest in expected.items() if found.get(name, digest) != digest]:
        raise VimixError(
            f"{stage} was begun with other {_and(changed)}: put that back as it was, or begin another run "
            f"(to train this stage anew, delete its folder)"
        )


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
