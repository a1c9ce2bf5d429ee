"""The queue of past keys (MoCo), with the recording each key came from."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class NegativeQueue:
    """A ring of ``capacity`` keys [K, size] float32. It starts empty; only filled rows are ever negatives.

    ``capacity`` need not be a multiple of the batch; with 0 the keys of the batch are the only candidates. ``sources``
    [K] int64 holds the recording of each key. All state lies on the device. A training step uses ``rows``,
    ``row_sources`` and ``empty``, which do not make the host wait; ``keys``, ``sources`` and ``len`` do.
    """

    def __init__(self, capacity: int, size: int, device: torch.device | str = "cpu") -> None:
        self._keys = torch.zeros(capacity, size, device=device)
        self._sources = torch.full((capacity,), -1, dtype=torch.int64, device=device)
        self._pointer = torch.zeros((), dtype=torch.int64, device=device)
        self._filled = torch.zeros((), dtype=torch.int64, device=device)
        self._numbers = torch.arange(capacity, device=device)

    @property
    def keys(self) -> Tensor:
        """The filled rows [filled, size] float32, in no particular order."""
        return self._keys[: len(self)]

    @property
    def sources(self) -> Tensor:
        """Recordings [filled] int64 of the filled rows."""
        return self._sources[: len(self)]

    @property
    def rows(self) -> Tensor:
        """All rows [K, size] float32, filled or not."""
        return self._keys

    @property
    def row_sources(self) -> Tensor:
        """Recordings [K] int64 of all rows, -1 where there is none yet."""
        return self._sources

    @property
    def empty(self) -> Tensor:
        """Bool [K]: the rows that are not filled yet."""
        return self._numbers >= self._filled

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The tensors that ``enqueue`` changes in place."""
        return (self._keys, self._sources, self._pointer, self._filled)

    @property
    def capacity(self) -> int:
        """K."""
        return len(self._keys)

    def __len__(self) -> int:
        return int(self._filled)

    def enqueue(self, keys: Tensor, sources: Tensor) -> None:
        """Write keys [B, size] over the oldest rows. If B > K only the last K keys are kept."""
        if self.capacity == 0:
            return
        keys, sources = keys.detach()[-self.capacity :], sources[-self.capacity :]
        rows = (torch.arange(len(keys), device=self._keys.device) + self._pointer) % self.capacity
        self._keys[rows] = keys.to(self._keys)
        self._sources[rows] = sources.to(self._sources)
        self._pointer.add_(len(keys)).remainder_(self.capacity)
        self._filled.add_(len(keys)).clamp_(max=self.capacity)

    def state_dict(self) -> dict[str, Any]:
        """Keys, sources, pointer and number of filled rows."""
        return {
            "keys": self._keys.clone(),
            "sources": self._sources.clone(),
            "pointer": int(self._pointer),
            "filled": int(self._filled),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``. Raises ValueError for a queue of another size."""
        if state["keys"].shape != self._keys.shape:
            expected, found = tuple(self._keys.shape), tuple(state["keys"].shape)
            raise ValueError(f"expected a queue of shape {expected}, found {found}")
        self._keys.copy_(state["keys"])
        self._sources.copy_(state["sources"])
        self._pointer.fill_(int(state["pointer"]))
        self._filled.fill_(int(state["filled"]))
