"""Checkpoints in memory."""

from copy import deepcopy

from vimix.values.checkpoint import Checkpoint, Progress


class FakeCheckpointStore:
    """Implements ``vimix.ports.checkpoints.CheckpointStore``; ``saved`` counts the checkpoints."""

    def __init__(self) -> None:
        self._last: Checkpoint | None = None
        self.saved = 0

    def save(self, checkpoint: Checkpoint) -> None:
        self._last = deepcopy(checkpoint)
        self.saved += 1

    def exists(self) -> bool:
        return self._last is not None

    def progress(self) -> Progress | None:
        return None if self._last is None else self._last.progress

    def last(self) -> Checkpoint | None:
        return deepcopy(self._last)
