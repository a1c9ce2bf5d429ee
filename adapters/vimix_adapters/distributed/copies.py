"""What a process's copy of a network says for all copies."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


class OneOfManyCopies:
    """Around ``network``, one copy in each process: its buffers, and a state that fits one process as well as many."""

    network: Any

    def buffers(self) -> Iterable[Tensor]:
        """The network's."""
        buffers: Iterable[Tensor] = self.network.buffers()
        return buffers

    def state_dict(self) -> Mapping[str, Any]:
        """The network's: a checkpoint does not tell how many processes made it."""
        state: Mapping[str, Any] = self.network.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Into the network; every member loads the same."""
        self.network.load_state_dict(state)
