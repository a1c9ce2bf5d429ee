"""Time of training steps, measured on noise."""

from time import perf_counter

import numpy as np
import torch
from attrs import evolve

from vimix.app.parallel import SINGLE_PROCESS
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.mixing.policies import CrossModalCutMix, Mixup
from vimix.domain.schedule.stages import Stage
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.step_speed import random_batch
from vimix_adapters.encoders.contrastive_network import Compute

TIMED_CLIPS = (4, 8)
"""Clips in the two timed batches. A line through their times, which has a cost per step and one per clip, gives that of
the recipe's batch."""


def extrapolated(few: tuple[int, float], many: tuple[int, float], clips: int) -> float:
    """Seconds of a step with so many clips, on the line through two timed steps (clips, seconds).

    More clips never take less time: a line that falls, by noise, counts as level.
    """
    per_clip = max(0.0, many[1] - few[1]) / (many[0] - few[0])
    return many[1] + per_clip * (clips - many[0])


class StepTimer:
    """Times a training step of each kind of stage once, on noise."""

    def __init__(self, recipe: config.Recipe, compute: Compute) -> None:
        groups = 2 if recipe.contrast.bn_groups > 1 else 1
        self._recipe = evolve(recipe, contrast=evolve(recipe.contrast, bn_groups=groups, negatives="batch+queue"))
        self._compute = compute
        self._known: dict[tuple[object, ...], float] = {}
        self._bytes: dict[Modality, int] = {}

    def seconds(self, stage: Stage) -> float:
        """Return the time of a step with the recipe's batch, in seconds, without decoding and augmentation."""
        key = (stage.trained, stage.partner, stage.layers is None, stage.finder, stage.objective)
        if key not in self._known:
            few, many = ((clips, self._timed(stage, clips)) for clips in TIMED_CLIPS)
            self._known[key] = extrapolated(few, many, self._recipe.optim.batch)
        return self._known[key]

    def checkpoint_bytes(self, stage: Stage) -> int:
        """Return the size of a checkpoint in bytes: query and key encoders, two moments of Adam, queues."""
        contrast, queues = self._recipe.contrast, len(stage.trained) + len(stage.queued_partners)
        numbers = contrast.queue * (contrast.embedding * 4 * queues + 16 * len(stage.trained))
        return numbers + 4 * sum(map(self._weight_bytes, stage.trained))

    def _weight_bytes(self, modality: Modality) -> int:
        if modality not in self._bytes:
            network = wiring.build_network(self._recipe, modality, Compute(torch.device("cpu")))
            self._bytes[modality] = sum(v.numel() * v.element_size() for v in network.state_dict().values())
        return self._bytes[modality]

    def _timed(self, stage: Stage, clips: int) -> float:
        learner = wiring.build_stage_learner(self._recipe, stage, self._compute, SINGLE_PROCESS, steps_per_epoch=0)
        partner = None
        if stage.layers is not None:  # any cut takes as long as any other, whatever the arm's stages
            cut = {"layers": RandomLayer(), "policy": CrossModalCutMix()}
            stage = evolve(stage, **(cut if stage.partner else {"layers": None, "policy": Mixup()}))
        if stage.partner is not None:
            partner = wiring.build_network(self._recipe, stage.partner, self._compute).eval().requires_grad_(False)
        step = wiring.step_of(stage, learner, partner)
        sized = evolve(self._recipe, optim=evolve(self._recipe.optim, batch=clips))
        batch = random_batch(sized, stage.views_needed, self._compute)
        rng, seconds = np.random.default_rng(0), []
        for _ in range(3):
            begun = perf_counter()
            float(step(batch, rng).loss)
            seconds.append(perf_counter() - begun)
        return min(seconds[1:])
