"""Records of ``vimix evaluate``, and whether they belong to a row of the paper's tables."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import structlog
from attrs import field, frozen

from vimix_adapters.reports.paper import Source
from vimix_adapters.reports.results import ResultRecord, record_of
from vimix_adapters.reports.tables import streams_of
from vimix_adapters.structuring import structured

log = structlog.get_logger()


@frozen
class EncoderRecord:
    """The provenance of a record's checkpoint, as far as a row depends on it."""

    init: str = ""
    arm: str = ""
    seed: int | None = None
    stages_to_come: int = 0
    steps: int = 0
    epochs: int = 0
    steps_per_epoch: int = 0

    def mismatch(self, arm: str) -> str:
        """The reason why this is not the final encoder of the arm; empty if it is."""
        if self.init == "random":
            return "started from random weights"
        if self.arm != arm:
            return f"is of arm {self.arm or 'none'}, but the row of {arm}"
        unfinished = self.stages_to_come or self.steps < self.epochs * self.steps_per_epoch
        return "was not trained to the end of its arm" if unfinished else ""


@frozen
class ProtocolRecord:
    """The parts of a record's protocol that a row depends on."""

    name: str = ""
    changed_by_the_recipe: Sequence[str] = ()
    """Settings of the protocol that the recipe changes."""
    finetune: Mapping[str, Any] = field(factory=dict)
    """Settings of finetuning by modality, or, in older records, of all; empty for other tasks."""


@frozen
class Evaluated:
    """A record of ``vimix evaluate`` with its file."""

    file: Path
    record: ResultRecord
    encoders: Mapping[str, EncoderRecord]
    """Provenance of the checkpoints by modality."""
    protocol: ProtocolRecord

    @property
    def seeds(self) -> tuple[int, int]:
        """Seeds of the evaluation and of the encoders, which differ if several runs are evaluated with one seed."""
        seeds = [encoder.seed for encoder in self.encoders.values() if encoder.seed is not None]
        return self.record.seed, seeds[0] if seeds else self.record.seed

    def belongs(self, source: Source, finetune: Mapping[str, Any]) -> bool:
        """Whether this is a measurement of ``source``. One of the same task and streams that is not is logged.

        ``finetune`` holds the settings of finetuning that the paper's rows are trained with.
        """
        record = self.record
        measured = (record.task, record.recipe, record.tested_on, frozenset(self.encoders))
        if measured != (source.task, source.recipe, source.tested_on, streams_of(source.modality)):
            return False
        if reason := next(self._mismatches(source, finetune), ""):
            log.info("record.left_out", file=str(self.file), reason=reason)
        return not reason

    def _mismatches(self, source: Source, finetune: Mapping[str, Any]) -> Iterator[str]:
        """Reasons why this is no evaluation of the arm's final encoders by the protocol of the row."""
        for modality, encoder in self.encoders.items():
            if reason := encoder.mismatch(source.arm):
                yield f"{modality} {reason}"
        if len({encoder.seed for encoder in self.encoders.values()}) > 1:
            yield "the encoders are of runs with different seeds"
        protocol = self.protocol
        if protocol.name != source.protocol:
            yield f"protocol {protocol.name or 'none'}, the row's is {source.protocol}"
        if protocol.changed_by_the_recipe:
            yield f"the recipe changed its protocol ({', '.join(protocol.changed_by_the_recipe)})"
        for modality, (name, value) in product(self.encoders, finetune.items()):
            if (used := protocol.finetune.get(modality, protocol.finetune).get(name, value)) != value:
                yield f"finetune.{name} = {used}, the row's is {value}"


def evaluated_of(content: object, file: Path) -> Evaluated:
    """Return the record from the parsed content of its file. Raises VimixError as ``record_of`` does."""
    record = record_of(content, file)
    protocol = structured(record.protocol, ProtocolRecord, file, "the protocol of an evaluation")
    encoders = {
        modality: structured(about, EncoderRecord, file, f"the provenance of the checkpoint of {modality}")
        for modality, about in record.checkpoints.items()
    }
    return Evaluated(file, record, encoders, protocol)
