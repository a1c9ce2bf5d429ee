"""Storage for the checkpoints of a training stage."""

from typing import Protocol

from vimix.values.checkpoint import Checkpoint, Progress


class CheckpointStore(Protocol):
    """Keeps the last and the previous checkpoint of one stage; each is whole or absent."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Make ``checkpoint`` the last one and the last one the previous. Atomic: a crash loses neither."""
        ...

    def exists(self) -> bool:
        """Whether a checkpoint has been saved. Nothing is read."""
        ...

    def progress(self) -> Progress | None:
        """Steps done, length and origin of the newest checkpoint, None if there is none. No weights are read.

        Raises VimixError as ``last`` does.
        """
        ...

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, None if there is none.

        Raises VimixError naming the file if it is truncated or not a vimix checkpoint.
        """
        ...
