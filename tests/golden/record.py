"""``python -m tests.golden.record``: write down the losses of a fixed run on this platform.

A tiny S3D, four steps of pretraining with mixup and as many of a CMMC stage, float32, on one thread. The temperature is
high and the rate low, so that the last digits, in which processors differ, stay the last: an untrained network has
gradients in the hundreds.
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch

from tests.fakes.clips import FakeTrainingClips
from vimix.app.steps import cmmc_step, pretrain_step
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.mixing.policies import CrossModalCutMix, Mixup
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.encoders.network import Compute

FILE = Path(__file__).parent / "losses.json"
RECIPE = config.Recipe(
    name="golden",
    data=config.Data(store="none"),
    modalities={
        "rgb": config.ModalitySettings(width=0.125),
        "flow": config.ModalitySettings(width=0.125, channels=2),
    },
    contrast=config.Contrast(queue=24, momentum=0.99, temperature=0.2),
    optim=config.Optim(name="sgd", lr=1e-6),
)


def platform_name() -> str:
    """As the file knows it."""
    return f"{platform.system().lower()}-{platform.machine()}-{torch.backends.cpu.get_cpu_capability().lower()}"


def losses() -> dict[str, list[float]]:
    """Four losses of each kind of step, in nats."""
    compute = Compute(torch.device("cpu"))
    learner, other = (wiring.build_learner(RECIPE, RGB, compute) for _ in range(2))
    partner = wiring.build_network(RECIPE, FLOW, compute).eval().requires_grad_(False)
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
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    known[platform_name()] = losses()
    FILE.write_text(json.dumps(known, indent=2) + "\n")
