"""Records of ``vimix evaluate``, and whether they are what a row of the paper's tables means."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from attrs import frozen

from vimix_adapters.reports.paper import Source
from vimix_adapters.reports.read_json import structured
from vimix_adapters.reports.results import ResultRecord, record_of
from vimix_adapters.reports.tables import streams_of

log = structlog.get_logger()


@frozen
class EncoderRecord:
    """What a record's checkpoint says of itself, as far as a row wants to know."""

    init: str = ""
    arm: str = ""
    seed: int | None = None
    stages_to_come: int = 0
    steps: int = 0
    epochs: int = 0
    steps_per_epoch: int = 0

    def strange(self, arm: str) -> str:
        """Why it is not the final encoder of the arm; empty if it is."""
        if self.init == "random":
            return "began with random weights"
        if self.arm != arm:
            return f"is of arm {self.arm or 'none'}, the row of {arm}"
        unfinished = self.stages_to_come or self.steps < self.epochs * self.steps_per_epoch
        return "was not yet trained to the end of its arm" if unfinished else ""


@frozen
class Evaluated:
    """A record of ``vimix evaluate``, and the file that it lies in."""

    file: Path
    record: ResultRecord
    encoders: Mapping[str, EncoderRecord]
    """By modality."""
    protocol: str
    changed: Sequence[str]
    """What the recipe changed in the protocol."""

    @property
    def seeds(self) -> tuple[int, int]:
        """Of the evaluation and of the encoders, which differ where several runs are evaluated with one."""
        known = [encoder.seed for encoder in self.encoders.values() if encoder.seed is not None]
        return self.record.seed, known[0] if known else self.record.seed

    def belongs(self, source: Source) -> bool:
        """Whether it is what the row means; tells of one that looks like it, but is of something else."""
        record = self.record
        place = (record.task, record.recipe, record.tested_on, frozenset(self.encoders))
        if place != (source.task, source.recipe, source.tested_on, streams_of(source.modality)):
            return False
        if reason := next(self._strange(source), ""):
            log.info("record.left_out", file=str(self.file), reason=reason)
        return not reason

    def _strange(self, source: Source) -> Iterator[str]:
        """What makes it another than that of the arm's final encoders, evaluated by the row's protocol."""
        for modality, encoder in self.encoders.items():
            if reason := encoder.strange(source.arm):
                yield f"{modality} {reason}"
        if len({encoder.seed for encoder in self.encoders.values()}) > 1:
            yield "the encoders are of runs with different seeds"
        if self.protocol != source.protocol:
            yield f"protocol {self.protocol or 'none'}, the row's is {source.protocol}"
        if self.changed:
            yield f"the recipe changed its protocol ({', '.join(self.changed)})"


@frozen
class _Protocol:
    name: str = ""
    changed_by_the_recipe: Sequence[str] = ()


def evaluated_of(content: object, file: Path) -> Evaluated:
    """The record from the content of its file. Raises VimixError as ``record_of`` does."""
    record = record_of(content, file)
    protocol = structured(record.protocol, _Protocol, file, "the protocol of an evaluation")
    encoders = {
        modality: structured(about, EncoderRecord, file, f"what the checkpoint of {modality} says of itself")
        for modality, about in record.checkpoints.items()
    }
    return Evaluated(file, record, encoders, protocol.name, protocol.changed_by_the_recipe)
