"""A checkpoint: named parts, whole or absent."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from vimix.values.errors import VimixError

FORMAT = "vimix-checkpoint-1"
Provenance = Mapping[str, str]
"""Digests of data, initial weights and settings, by the names that messages use."""


@frozen
class Progress:
    """Progress of a stage's training, and the weights that it started from."""

    steps: int
    """Training steps made so far."""
    steps_per_epoch: int
    epochs: int
    """Epochs of the whole stage."""
    seed: int
    """Seed of the stage's data order and random draws."""
    origin: Provenance
    skipped: int = 0
    """Steps that changed nothing, because their loss or gradient was not finite."""

    @property
    def untrained(self) -> bool:
        """Whether every step was skipped: the weights are those that the training began with."""
        return 0 < self.steps <= self.skipped

    @property
    def finished(self) -> bool:
        """Whether all epochs of the stage have been trained."""
        return self.steps >= self.epochs * self.steps_per_epoch

    def require_origin(self, expected: Provenance, stage: str) -> None:
        """Raise VimixError if the training of ``stage`` was started from something else than ``expected``.

        Names that the checkpoint does not have (it may be older than they are) are not compared.
        """
        if changed := [name for name, digest in expected.items() if self.origin.get(name, digest) != digest]:
            listed = " and ".join(filter(None, [", ".join(changed[:-1]), changed[-1]]))
            raise VimixError(
                f"{stage} was begun with other {listed}: put that back as it was, or begin another run "
                f"(to train this stage anew, delete its folder)"
            )


@frozen(eq=False)
class Checkpoint:
    """State of a training stage, made of tensors and plain data only, so that it loads with ``weights_only=True``."""

    modality: str
    """The modality that was trained; several that were trained together are joined by ``+``."""
    recipe: str
    """The resolved recipe as TOML: a checkpoint can be opened without any other file."""
    parts: Mapping[str, Mapping[str, Any]]
    """State by the name of the part: ``query``, ``key``, ``queue``, ``optimiser``, ``progress``.

    A training with labels has ``classifier`` in place of the first three. Where several modalities were trained
    together, each has its own ``query.MODALITY``, ``key.`` and ``queue.``.
    """
    about: Mapping[str, str | int | float]
    """Facts for the record: stage name, arm, epochs, steps, versions, commit."""

    def of(self, modality: str) -> "Checkpoint":
        """The checkpoint of one of the modalities that were trained: itself where that was the only one."""
        if modality == self.modality:
            return self
        ending = f".{modality}"
        own = {name.removesuffix(ending): part for name, part in self.parts.items() if name.endswith(ending)}
        return evolve(self, modality=modality, parts={**own, "progress": self.parts["progress"]})

    @property
    def query_only(self) -> "Checkpoint":
        """The checkpoint with its query network alone, for evaluation: key network, queue and optimiser are dropped."""
        return evolve(self, parts={"query": self.parts["query"]})

    @property
    def trained(self) -> Mapping[str, Any]:
        """State of the network whose encoder was trained (names ``encoder.*``): the query network or the classifier.

        Empty if the checkpoint has neither.
        """
        return self.parts.get("query") or self.parts.get("classifier") or {}

    @property
    def progress(self) -> Progress:
        """Progress of the stage; zero steps if the checkpoint is not from a training, such as imported weights."""
        saved = self.parts.get("progress", {})
        data = {"data": str(self.about["data"])} if "data" in self.about else {}
        return Progress(
            steps=int(saved.get("steps", 0)),
            steps_per_epoch=int(self.about.get("steps_per_epoch", 0)),
            epochs=int(self.about.get("epochs", 0)),
            seed=int(saved.get("seed", 0)),
            origin=saved.get("origin") or data,  # the oldest checkpoints name only their data
            skipped=int(saved.get("meter", {}).get("bad", 0)),
        )
