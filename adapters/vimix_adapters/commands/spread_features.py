"""Features of videos, computed by the tasks of a Ray cluster: those of one process, for equal machines."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from attrs import asdict, evolve, field, fields, frozen

from vimix.app.feature_extraction import runs_of_videos
from vimix.ports.clips import VideoStore
from vimix.ports.network import Network
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures, VideoFeatures
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.archives import read_arrays, write_arrays
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.commands.feature_cache import Manifest, manifest_of
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.prepare.engines import RayEngine
from vimix_adapters.prepare.parts import claim_parts
from vimix_adapters.prepare.progress import run_shown
from vimix_adapters.reports.console import plain_console, print_note

Features = TypeVar("Features", ClipFeatures, VideoFeatures)

SECONDS_A_RUN = 6 * 3600.0
"""Time limit of a run of videos, which takes some minutes on most machines."""


@frozen
class FeatureTasks:
    """Tasks of Ray that compute features, and the folder with what they have finished."""

    engine: RayEngine
    parts: Path
    force: bool = False
    """Whether to delete parts that were made with other settings."""
    checkpoints: Mapping[Modality, Path] = field(factory=dict)
    """Checkpoints of the networks; a modality that has none has random weights."""

    @property
    def device(self) -> str:
        """Device of a task: a GPU if tasks have a share of one."""
        return "cuda" if self.engine.gpus else "cpu"

    def manifest(
        self, network: Network, store: VideoStore, modality: Modality, split: str, recipe: config.Recipe
    ) -> dict[str, Any]:
        """Return ``manifest_of`` with the device of the tasks; of a GPU only the recipe's precision is known here."""
        manifest = manifest_of(network, store, modality, split, recipe, wiring.build_compute(recipe, "cpu"))
        return {**manifest, "device": "cuda", "precision": recipe.run.precision} if self.engine.gpus else manifest


@frozen
class RunJob:
    """A run of videos whose features go into a part."""

    videos: tuple[int, ...]
    part: Path


def spread_features(
    tasks: FeatureTasks,
    recipe: config.Recipe,
    store: VideoStore,
    videos: Sequence[int],
    manifest: Manifest,
    extract: Callable[..., Features],
    kind: type[Features],
) -> Features:
    """Compute ``extract(network, clips)`` for videos of the recipe's store; each job does so for a run of videos.

    ``manifest`` is that of ``tasks``, and names the modality. Clips pass the network in the same batches as in one
    process. Raises VimixError if a job fails, which names its first video, or there are parts with another manifest;
    finished parts are kept.
    """
    modality = Modality(manifest["modality"])
    folder = tasks.parts / f"{modality}-{manifest['split']}-{manifest['weights'][:12]}"
    clips = wiring.build_evaluation_clips(recipe, store, videos, modality, Compute(torch.device("cpu")))
    runs = runs_of_videos(clips.counts())
    jobs = [RunJob(tuple(videos[r.start : r.stop]), folder / f"{r.start}-{r.stop}.npz") for r in runs]
    names = {job.part.name: f"{store.videos[job.videos[0]].name} and {len(job.videos) - 1} more" for job in jobs}
    claim_parts(folder, manifest, names, tasks.force)
    to_do = [job for job in jobs if not job.part.exists()]
    if len(to_do) < len(jobs):
        print_note(f"{len(jobs) - len(to_do)} of {len(jobs)} parts were finished before: going on")
    checkpoint = tasks.checkpoints.get(modality)
    failed = run_shown(
        f"features of {modality}",
        "videos",
        tasks.engine,
        partial(_extract_run, recipe, checkpoint, modality, tasks.device, extract),
        to_do,
        SECONDS_A_RUN,
        plain_console(stderr=True),
        name=lambda job: names[job.part.name],
        size=lambda job: len(job.videos),
    )
    if failed:
        raise VimixError(
            f"the features of {names[failed[0].job.part.name]} could not be computed: {failed[0].reason}; "
            f"{folder} keeps the others, call again to go on"
        )
    columns = tuple(column.name for column in fields(kind))
    tables = [read_arrays(job.part, columns, "features") for job in jobs]
    return kind(**{name: np.concatenate([table[name] for table in tables]) for name in columns})


def _extract_run(
    recipe: config.Recipe,
    checkpoint: Path | None,
    modality: Modality,
    device: str,
    extract: Callable[..., Features],
    job: RunJob,
) -> None:
    """Compute the features of a run of videos in a worker process, which has one core and may start no processes."""
    torch.set_num_threads(1)
    recipe = evolve(recipe, data=evolve(recipe.data, workers=0))
    compute, store = wiring.build_compute(recipe, device), wiring.build_store(recipe)
    if checkpoint is None:
        network = wiring.build_network(recipe, modality, compute)
    else:
        network = wiring.build_trained(recipe, load_trained(checkpoint), compute)
    clips = wiring.build_evaluation_clips(recipe, store, job.videos, modality, compute)
    write_arrays(job.part, asdict(extract(network, clips)))
