"""S3D's training steps never wait for the device: they run on pretended CUDA tensors, which have shapes but no values.

Reading a value (``float``, ``bool``, a mask as an index) raises on such tensors. Layers choose their CUDA paths.
"""

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from tests.golden.record import RECIPE
from vimix.app.steps import cmmc_step, pretrain_step
from vimix.domain.mixing.layers import RandomLayer
from vimix.domain.mixing.policies import CrossModalCutMix, Mixup
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import FLOW, RGB
from vimix_adapters import config, wiring
from vimix_adapters.encoders.contrastive_network import Compute

CUDA = Compute(torch.device("cuda"))
ONE_GROUP = evolve(RECIPE, contrast=evolve(RECIPE.contrast, bn_groups=1), optim=config.Optim(name="adam"))


@pytest.fixture(autouse=True)
def no_values(monkeypatch):
    """All tensors are made on the pretended device. Autograd wants a real one, so that all gradients are zeros here."""
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)
    with torch.device("cuda"), FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.slow
def test_no_step_reads_a_value_from_the_device(monkeypatch) -> None:
    learner = wiring.build_learner(ONE_GROUP, RGB, CUDA)
    partner = wiring.build_network(ONE_GROUP, FLOW, CUDA).eval().requires_grad_(False)

    def backward(_) -> None:
        for parameter in learner.query.parameters():
            parameter.grad = torch.zeros_like(parameter)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    views = {m: tuple(torch.randn(4, c, 16, 32, 32) for _ in range(2)) for m, c in ((RGB, 3), (FLOW, 2))}
    batch, rng = ClipBatch(views, *[torch.arange(4)] * 3), np.random.default_rng(0)
    cmmc = cmmc_step(learner, partner, FLOW, CrossModalCutMix(), RandomLayer())
    for step in (pretrain_step(learner, Mixup()), cmmc):
        told = step(batch, rng)
        assert told.loss.is_cuda
        assert told.skipped.is_cuda
        with pytest.raises(DataDependentOutputException):
            float(told.loss)  # whoever reads it waits
