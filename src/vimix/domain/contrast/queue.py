"""The queue of past keys (MoCo), with the recording and class of each, and keys of partner modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

UNKNOWN = -1
"""Recording and class of a row that is empty, and the class of a video without one."""


class NegativeQueue:
    """A ring of ``capacity`` keys [K, size] float32. It starts empty; only filled rows are ever negatives.

    ``capacity`` need not be a multiple of the batch; with 0 the keys of the batch are the only candidates. ``sources``
    [K] int64 holds the recording of each key, ``row_labels`` its class. ``partners`` names modalities whose keys of the
    same clips are kept in the same rows. All state lies on the device. A training step uses ``rows``, ``row_sources``,
    ``empty`` and ``full``, which do not make the host wait; ``keys``, ``sources`` and ``len`` do.
    """

    def __init__(
        self, capacity: int, size: int, device: torch.device | str = "cpu", partners: Sequence[str] = ()
    ) -> None:
        self._keys = torch.zeros(capacity, size, device=device)
        self._partner_keys = {modality: torch.zeros(capacity, size, device=device) for modality in partners}
        self._sources = torch.full((capacity,), UNKNOWN, dtype=torch.int64, device=device)
        self._labels = torch.full((capacity,), UNKNOWN, dtype=torch.int64, device=device)
        self._pointer = torch.zeros((), dtype=torch.int64, device=device)
        self._filled = torch.zeros((), dtype=torch.int64, device=device)
        self._paired = torch.zeros((), dtype=torch.int64, device=device)
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
    def partner_keys(self) -> Mapping[str, Tensor]:
        """Keys [K, size] of the partners, by modality, in the rows of the same clips."""
        return self._partner_keys

    @property
    def row_sources(self) -> Tensor:
        """Recordings [K] int64 of all rows, -1 where there is none yet."""
        return self._sources

    @property
    def row_labels(self) -> Tensor:
        """Classes [K] int64 of all rows, -1 where none is known. Only training with labels reads them."""
        return self._labels

    @property
    def row_ages(self) -> Tensor:
        """Number of keys [K] int64 that were enqueued after each row."""
        return (self._pointer - 1 - self._numbers) % max(self.capacity, 1)

    @property
    def empty(self) -> Tensor:
        """Bool [K]: the rows that are not filled yet."""
        return self._numbers >= self._filled

    @property
    def full(self) -> Tensor:
        """Bool scalar on the device: whether all rows are filled, those of the partners too."""
        return self._paired >= self.capacity

    @property
    def state(self) -> tuple[Tensor, ...]:
        """The tensors that ``enqueue`` changes in place."""
        numbers = (self._sources, self._labels, self._pointer, self._filled, self._paired)
        return (self._keys, *self._partner_keys.values(), *numbers)

    @property
    def capacity(self) -> int:
        """K."""
        return len(self._keys)

    def __len__(self) -> int:
        return int(self._filled)

    def enqueue(
        self,
        keys: Tensor,
        sources: Tensor,
        labels: Tensor | None = None,
        partner_keys: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write keys [B, size] over the oldest rows. If B > K only the last K keys are kept.

        ``partner_keys`` holds the keys [B, size] of the same clips by partner. Raises KeyError if a partner is missing.
        """
        if self.capacity == 0:
            return
        count = min(len(keys), self.capacity)
        rows = (torch.arange(count, device=self._keys.device) + self._pointer) % self.capacity
        written = [(self._keys, keys), (self._sources, sources)]
        written += [(kept, (partner_keys or {})[modality]) for modality, kept in self._partner_keys.items()]
        written += [(self._labels, torch.full_like(sources, UNKNOWN) if labels is None else labels)]
        for kept, values in written:
            kept[rows] = values.detach()[-count:].to(kept)
        self._pointer.add_(count).remainder_(self.capacity)
        for number in (self._filled, self._paired):
            number.add_(count).clamp_(max=self.capacity)

    def state_dict(self) -> dict[str, Any]:
        """Keys, sources, labels, pointer and number of filled rows; the keys of partners as ``keys.MODALITY``."""
        return {
            "keys": self._keys.clone(),
            "sources": self._sources.clone(),
            "labels": self._labels.clone(),
            "pointer": int(self._pointer),
            "filled": int(self._filled),
            "paired": int(self._paired),
            **{f"keys.{modality}": keys.clone() for modality, keys in self._partner_keys.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``. Raises ValueError for a queue of another size.

        Where the state lacks the keys of a partner, the queue counts as full once it has been filled anew.
        """
        if state["keys"].shape != self._keys.shape:
            expected, found = tuple(self._keys.shape), tuple(state["keys"].shape)
            raise ValueError(f"expected a queue of shape {expected}, found {found}")
        self._keys.copy_(state["keys"])
        self._sources.copy_(state["sources"])
        self._labels.copy_(state.get("labels", torch.full_like(self._labels, UNKNOWN)))  # older states have none
        self._pointer.fill_(int(state["pointer"]))
        self._filled.fill_(int(state["filled"]))
        paired = all(f"keys.{modality}" in state for modality in self._partner_keys)
        self._paired.fill_(int(state.get("paired", state["filled"])) if paired else 0)
        for modality, keys in self._partner_keys.items() if paired else ():
            keys.copy_(state[f"keys.{modality}"])
