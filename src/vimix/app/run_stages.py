"""Runs a plan: stages in order, each starting from the newest weights of its encoders (section 5 of the method)."""

from collections.abc import Callable, Mapping, Sequence

from vimix.domain.schedule.stages import Stage
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import Modality

Execute = Callable[[int, Stage, Mapping[Modality, Checkpoint]], Checkpoint]
"""Trains stage number n, starting from the newest checkpoints by modality; returns its final checkpoint."""


def run_stages(stages: Sequence[Stage], execute: Execute) -> dict[Modality, Checkpoint]:
    """Run the stages in order; return the newest checkpoint of each modality."""
    newest: dict[Modality, Checkpoint] = {}
    for number, stage in enumerate(stages):
        final = execute(number, stage, dict(newest))
        newest |= {modality: final.of(modality) for modality in stage.trained}
    return newest
