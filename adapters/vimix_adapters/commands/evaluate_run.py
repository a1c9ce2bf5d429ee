"""The evaluation of a whole run: table of all arms, curves, retrieved videos, mined positives, and the report page."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from attrs import evolve

from vimix.app.retrieve import retrieve
from vimix.domain.contrast.finders import Finder, Instances, NearestInPartner
from vimix.domain.schedule.stages import Stage
from vimix.ports.clips import VideoStore
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.commands import scores
from vimix_adapters.commands.feature_cache import FeatureCache
from vimix_adapters.commands.paper_figures import draw_training
from vimix_adapters.commands.report import page_or_warning, write_page_of_run
from vimix_adapters.commands.report_clips import pictures
from vimix_adapters.commands.report_panels import ArmFeatures
from vimix_adapters.commands.scores import EvaluationTarget
from vimix_adapters.commands.session import Session
from vimix_adapters.commands.stage_folders import stages_of_arm
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reports.curves import of_view, read_metrics
from vimix_adapters.reports.environment import commit, machine, versions
from vimix_adapters.reports.remarks import joined_remarks, training_remark
from vimix_adapters.reports.sheet import SheetRow, Thumbnail, draw_sheet
from vimix_adapters.reports.tables import UNTRAINED, Row, write_tables

SHEET_QUERIES = 8
"""Rows of the sheet, each a query of another class."""
SHEET_NEIGHBOURS = 5
"""Videos shown for each query of the sheet."""

log = structlog.get_logger()


def evaluate_run(
    session: Session,
    arms: Mapping[str, Mapping[Modality, Checkpoint]],
    targets: Sequence[EvaluationTarget],
    out: Path,
) -> list[Row]:
    """Score untrained encoders and every arm on every target; write results, curves, a sheet and a page to ``out``.

    ``arms`` holds the final checkpoints by arm and modality. All ranks extract features; rank 0 does the rest and
    returns the rows, the other ranks return none.
    """
    recipe, compute, group = session.recipe, session.compute, session.group
    networks = scores.build_networks(recipe, arms, compute)
    cache = FeatureCache(out / "features") if group.size == 1 else None
    pairs: dict[tuple[str, str], scores.Pairs] = {}
    for arm, target in product(networks, targets):
        log.info("evaluation.started", arm=arm, **({"store": target.name} if target.name else {}))
        pairs[arm, target.name] = scores.extract(target, networks[arm], compute, group, cache)
    if not session.writes:
        return []
    measured = {
        (arm, target.name): scores.measure(target.recipe, pairs[arm, target.name])
        for arm, target in product(networks, targets)
    }
    rows = [row for (arm, name), found in measured.items() for row in scores.rows(found, recipe.title(arm), arm, name)]
    remarks = {arm: _remarks(recipe, arm, out, group.size) for arm in arms}
    rows = [evolve(row, remark=joined_remarks(remarks.get(row.key, {}), row.modality.split(" + "))) for row in rows]
    write_tables(out, rows, _about(session, targets), f"Results of {recipe.name}", [_note(recipe, targets[0])])
    last = list(networks)[-1]
    draw_retrieval(targets[0], pairs[last, targets[0].name], out / "retrieval.png", f"{recipe.name}: {last}")
    draw_training(recipe, out)
    own = targets[0].name
    shown = [
        ArmFeatures(recipe.title(arm), pairs[arm, own], measured[arm, own], trained=arm != UNTRAINED)
        for arm in networks
    ]
    with page_or_warning(out):
        write_page_of_run(out, targets[0], shown)
    return rows


def _remarks(recipe: config.Recipe, arm: str, out: Path, processes: int) -> dict[str, str]:
    """Remarks on the training of an arm by modality, each from the last stage that trained it."""
    possible = min(processes * recipe.optim.batch, recipe.contrast.embedding)
    remarks: dict[str, str] = {}
    for folder, stage in stages_of_arm(recipe, out, arm):
        file = folder / "metrics.jsonl"
        rows = read_metrics(file) if file.exists() else []
        remarks |= {modality: training_remark(of_view(rows, modality), possible) for modality in stage.trained}
    return remarks


def draw_retrieval(target: EvaluationTarget, pairs: scores.Pairs, path: Path, title: str) -> None:
    """Draw queries, one per class, and their nearest videos by the protocol of the target's recipe."""
    gallery, queries = scores.sides(pairs)
    centring = wiring.build_centring(target.recipe)
    found = retrieve(gallery, queries, FaissIndex, (SHEET_NEIGHBOURS,), centring)
    _, chosen = np.unique(found.query_labels, return_index=True)
    sheet = [
        SheetRow(
            thumbnail(target.store, int(found.query_videos[i])),
            [thumbnail(target.store, int(video)) for video in found.neighbours[i][:SHEET_NEIGHBOURS]],
            [float(similarity) for similarity in found.similarities[i][:SHEET_NEIGHBOURS]],
        )
        for i in chosen[:SHEET_QUERIES]
    ]
    draw_sheet(path, sheet, title)


def thumbnail(store: VideoStore, number: int) -> Thumbnail:
    """The middle frame of a video, with its name and class."""
    video = store.videos[number]
    modality = RGB if RGB in store.formats else next(iter(store.formats))
    (frame,) = pictures(store, number, modality, video.frames // 2, 1)
    return Thumbnail(frame, video.name, store.classes[video.label] if video.label >= 0 else "?")


def _about(session: Session, targets: Sequence[EvaluationTarget]) -> dict[str, object]:
    recipe, compute = session.recipe, session.compute
    return {
        "recipe": config.recipe_to_toml(recipe),
        "seed": recipe.seed,
        "commit": commit(),
        "versions": versions(),
        "machine": machine(str(compute.device)),
        "precision": str(compute.dtype),
        "data": session.store.fingerprint,
        "videos": targets[0].videos,
        "protocol": scores.protocol(recipe),
        "name": recipe.name,
        "tested_on": {target.name: {"data": target.store.fingerprint, "videos": target.videos} for target in targets},
    }


def _note(recipe: config.Recipe, target: EvaluationTarget) -> str:
    sizes = ", ".join(f"{split}: {number} videos" for split, number in target.videos.items())
    return f"seed {recipe.seed}, commit {commit()}, {sizes}; recipe in recipe.toml, protocol in results.json"


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
    first: dict[str, int] = {}
    for number, video in enumerate(store.videos):
        first.setdefault(video.source, number)
    shown = {number: first[name] for number, name in enumerate(sorted(first))}
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
