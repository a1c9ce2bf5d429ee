"""Common part of the networks of which each process of a group holds a copy."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor


class OneOfManyCopies:
    """Wraps ``network``, one of equal copies in all processes. Its state does not depend on the number of processes."""

    network: Any

    def buffers(self) -> Iterable[Tensor]:
        """Buffers of the network."""
        buffers: Iterable[Tensor] = self.network.buffers()
        return buffers

    def state_dict(self) -> Mapping[str, Any]:
        """State of the network, without the names that wrappers add."""
        state: Mapping[str, Any] = self.network.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the network's state; every rank must load the same."""
        self.network.load_state_dict(state)
