"""A plan: stages one after the other, each starting from the newest weights of both encoders (section 5)."""

from collections.abc import Callable, Mapping, Sequence

from vimix.domain.schedule.stages import Stage
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import Modality

Execute = Callable[[int, Stage, Mapping[Modality, Checkpoint]], Checkpoint]
"""Trains stage number n from the newest checkpoints by modality and returns its final one."""


def run_stages(stages: Sequence[Stage], execute: Execute) -> dict[Modality, Checkpoint]:
    """Run the stages in order; return the newest checkpoint of each modality."""
    newest: dict[Modality, Checkpoint] = {}
    for number, stage in enumerate(stages):
        newest[stage.modality] = execute(number, stage, dict(newest))
    return newest
