"""``python -m tests.golden.record``: record the losses of a fixed run.

A tiny S3D, four steps of pretraining with mixup and four of a CMMC stage, float32, on one thread. An untrained network
has gradients in the hundreds, so each update amplifies the rounding in which processors differ. At this learning rate
a relative change of 1e-6 in all weights moves no loss by more than 1e-4, and the updates move every later loss by more.
"""

import json
from pathlib import Path

import numpy as np
import torch
from attrs import evolve

from tests.fakes.clips import FakeTrainingClips
from vimix.app.steps import cmmc_step, pretrain_step
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.mixing.policies import CrossModalCutMix, Mixup
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.encoders.contrastive_network import Compute

FILE = Path(__file__).parent / "losses.json"
RECIPE = config.Recipe(
    name="golden",
    data=config.Data(store="none"),
    modalities={
        "rgb": config.ModalitySettings(width=0.125, stages="modules"),
        "flow": config.ModalitySettings(width=0.125, channels=2, stages="modules"),
    },
    contrast=config.Contrast(queue=24, momentum=0.99, temperature=0.2),
    optim=config.Optim(name="sgd", lr=1e-7),
)


def losses(lr: float = RECIPE.optim.lr) -> dict[str, list[float]]:
    """Four losses of each kind of step, in nats."""
    compute, recipe = Compute(torch.device("cpu")), evolve(RECIPE, optim=evolve(RECIPE.optim, lr=lr))
    learner, other = (wiring.build_learner(recipe, RGB, compute) for _ in range(2))
    partner = wiring.build_network(recipe, FLOW, compute).eval().requires_grad_(False)
    clips = FakeTrainingClips({RGB: 2, FLOW: 1}, videos=32, batch=8, frames=16, size=32, noise=0.5)
    steps = {
        "pretrain": pretrain_step(learner, Mixup()),
        "cmmc": cmmc_step(other, partner, FLOW, CrossModalCutMix(), RandomLayer()),
    }
    return {
        name: [float(step(batch, np.random.default_rng((7, n))).loss) for n, batch in enumerate(clips.batches(epoch))]
        for epoch, (name, step) in enumerate(steps.items())
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    FILE.write_text(json.dumps(losses(), indent=2) + "\n")
