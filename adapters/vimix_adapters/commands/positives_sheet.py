"""A picture of mined positives: clips of the queue, and those that a stage's partner or another view finds for them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vimix.domain.contrast.finders import Finder, Instances, NearestInPartner
from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.commands.evaluate_run import SHEET_NEIGHBOURS, SHEET_QUERIES, thumbnail
from vimix_adapters.commands.stage_folders import stages_of_arm
from vimix_adapters.reports.sheet import SheetRow, draw_sheet


def draw_positives(recipe: config.Recipe, store: VideoStore, out: Path) -> None:
    """Draw the positives of each stage of a finished run that mines them; see ``draw_found``."""
    for arm in recipe.arms:
        own = config.of_arm(recipe, arm)
        for folder, stage in stages_of_arm(own, out, arm):
            built = wiring.build_stage(own, stage)
            if built.finder.needs_similarities and not folder.is_symlink():
                draw_found(store, built, load_checkpoint(folder, mmap=True), folder)


def draw_found(store: VideoStore, stage: Stage, final: Checkpoint, folder: Path) -> None:
    """Write ``positives-MODALITY.png`` for each modality that found positives at the end of the stage.

    The first video of a recording stands for it. Nothing is written if the queue is not full.
    """
    sources = [video.source for video in store.videos]
    shown = {number: sources.index(name) for number, name in enumerate(sorted(set(sources)))}
    for modality, queue, keys in _finding(stage, final):
        _, rows = np.unique(queue["labels"].numpy(), return_index=True)
        sheet = [
            SheetRow(
                thumbnail(store, shown[int(queue["sources"][row])]),
                [thumbnail(store, shown[int(queue["sources"][other])]) for other in others],
                [float(keys[row] @ keys[other]) for other in others],
            )
            for row, others in found_in_queue(queue, keys, stage.finder, rows[:SHEET_QUERIES].tolist()).items()
        ]
        draw_sheet(folder / f"positives-{modality}.png", sheet, f"{stage.name}: found by {modality}")


def found_in_queue(
    queue: Mapping[str, Any], keys: torch.Tensor, finder: Finder, rows: list[int]
) -> dict[int, list[int]]:
    """Rows of a full queue that the finder finds for some of its ``rows`` by ``keys`` [K, D], most similar first.

    A row does not find itself, nor, with ``NearestInPartner``, its own recording.
    """
    chosen, others = torch.tensor(rows), finder
    if isinstance(finder, NearestInPartner):
        others = NearestInPartner(finder.k, same_recording=False)
    similarities = keys[chosen] @ keys.T
    similarities[torch.arange(len(rows)), chosen] = -torch.inf
    seen = Instances(
        sources=queue["sources"][chosen],
        queue_sources=queue["sources"],
        labels=queue["labels"][chosen],
        queue_labels=queue["labels"],
        queue_ages=torch.zeros_like(queue["labels"]),
        full=torch.tensor(True),
        similarities=similarities,
    )
    found = others.find(seen)[:, len(rows) :]
    ranked = similarities.masked_fill(~found, -torch.inf).argsort(dim=1, descending=True)[:, :SHEET_NEIGHBOURS]
    return {
        row: [other for other in best if found[i, other]]
        for i, (row, best) in enumerate(zip(rows, ranked.tolist(), strict=True))
    }


def _finding(stage: Stage, final: Checkpoint) -> Iterator[tuple[str, Mapping[str, Any], torch.Tensor]]:
    """Modalities that find positives, with their queue and their keys in it, if it is full."""
    queues = {m: (final.parts[f"queue.{m}"], "keys") for m in stage.trained} if stage.together else {}
    queues |= {m: (final.parts["queue"], f"keys.{m}") for m in stage.queued_partners}
    for modality, (queue, name) in queues.items():
        if queue["paired"] == len(queue["keys"]):
            yield modality, queue, queue[name]
