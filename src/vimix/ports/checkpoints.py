"""Where the state of a training stage is kept."""

from typing import Protocol

from vimix.values.checkpoint import Checkpoint


class CheckpointStore(Protocol):
    """Keeps the last and the previous checkpoint of one stage; each is whole or absent."""

    def save(self, checkpoint: Checkpoint) -> None:
        """The last becomes the previous one, ``checkpoint`` the last. Atomic: a crash loses neither."""
        ...

    def last(self) -> Checkpoint | None:
        """The newest checkpoint, None if there is none yet.

        Raises VimixError naming the file if it is truncated or not a vimix checkpoint.
        """
        ...
