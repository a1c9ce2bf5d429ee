"""Checkpoints in memory."""

from copy import deepcopy

from vimix.values.checkpoint import Checkpoint


class FakeCheckpointStore:
    """Implements ``vimix.ports.checkpoints.CheckpointStore``; ``saved`` counts."""

    def __init__(self) -> None:
        self._last: Checkpoint | None = None
        self.saved = 0

    def save(self, checkpoint: Checkpoint) -> None:
        self._last = deepcopy(checkpoint)
        self.saved += 1

    def last(self) -> Checkpoint | None:
        return deepcopy(self._last)
