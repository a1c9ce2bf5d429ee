"""Remarks on trainings whose scores are no result: embeddings that collapsed, steps that were skipped."""

from collections.abc import Iterable, Mapping, Sequence

from vimix.domain.contrast.diagnostics import looks_collapsed
from vimix_adapters.reports.stage_tables import mean_at_end

UNTRAINED = "untrained: 100 % of steps skipped"
MANY = 0.1
"""Share of skipped steps from which a training is remarked on."""


def training_remark(rows: Sequence[Mapping[str, float]], possible_rank: int) -> str:
    """A remark on a stage from its rows of metrics; empty if nothing is wrong.

    ``possible_rank`` is the greatest effective rank that the keys of a batch can have.
    """
    if not rows:
        return ""
    share = rows[-1].get("bad_steps", 0.0) / max(rows[-1]["step"], 1.0)
    if share >= 1:
        return UNTRAINED
    ranks = [row["effective_rank"] for row in rows if "effective_rank" in row]
    rank = mean_at_end(ranks) if ranks else None
    remarks = [f"{share:.0%} of steps skipped".replace("%", " %")] if share >= MANY else []
    if rank is not None and looks_collapsed(rank, possible_rank):
        remarks.append(f"collapsed in training: effective rank {rank:.1f} of {possible_rank}")
    return "; ".join(remarks)


def joined_remarks(by_modality: Mapping[str, str], modalities: Iterable[str]) -> str:
    """The remarks on some modalities as one, each with its modality."""
    return "; ".join(f"{modality}: {by_modality[modality]}" for modality in modalities if by_modality.get(modality))
