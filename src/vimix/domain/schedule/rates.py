"""Learning rates over a stage."""

from collections.abc import Sequence


def step_decay(base: float, epoch: int, milestones: Sequence[int], factor: float) -> float:
    """``base`` times ``factor`` for each milestone that ``epoch`` (counted from 0) has reached."""
    passed: int = sum(epoch >= milestone for milestone in milestones)
    return base * float(factor) ** passed


def warmed_up(rate: float, step: int, warmup_steps: int) -> float:
    """``rate`` raised linearly over the first ``warmup_steps`` steps, from rate/warmup_steps; unchanged after."""
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate
