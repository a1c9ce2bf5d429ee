"""The linear probe as the peers train it: one layer by SGD for a fixed number of epochs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from attrs import asdict, define, field
from numpy.typing import NDArray
from torch import Tensor, nn

from vimix.domain.schedule.rates import step_decay
from vimix.values.errors import VimixError
from vimix_adapters.config.probe_settings import LinearSgd

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


@define
class SgdProbe:
    """``LinearProbe`` with a peer's settings: no hyper-parameter is chosen, the last epoch is the result.

    ``snapshots`` keeps what it said after epochs 0, ``every``, ... as the peers do who report the best on test.
    """

    settings: LinearSgd
    snapshots: Mapping[int, Rows] = field(factory=dict, init=False)
    """Class probabilities of the queries by epoch, counted from 0."""

    def probabilities(self, features: Rows, labels: Integers, sources: Integers, queries: Rows, seed: int) -> Rows:
        """Class probabilities [Q, max(labels) + 1] float32 of ``queries`` [Q, D], trained on ``features`` [N, D].

        A class without training videos has probability 0. Raises VimixError for fewer than two classes, or if the
        layer's training diverged.
        """
        del sources
        seen, targets = np.unique(labels, return_inverse=True)
        if len(seen) < 2:
            raise VimixError("a linear probe needs training videos of at least two classes; name another split")
        generator = torch.Generator().manual_seed(seed)
        model = _layer(self.settings, features.shape[1], len(seen), generator)
        x, asked = (_input(self.settings, rows) for rows in (features, queries))
        snapshots = {}
        for epoch in range(self.settings.epochs):
            _train_epoch(model, self.settings, epoch, x, torch.from_numpy(targets), generator)
            if epoch % self.settings.every == 0 or epoch == self.settings.epochs - 1:
                snapshots[epoch] = _said(model, asked, seen, int(labels.max()) + 1)
        self.snapshots = snapshots
        return snapshots[self.settings.epochs - 1]

    @property
    def protocol(self) -> dict[str, object]:
        """Every setting."""
        return {"classifier": "linear layer, SGD; its last epoch", **asdict(self.settings)}


class _Trained(nn.Module):
    """The layer with its optimiser."""

    def __init__(self, layer: nn.Module, settings: LinearSgd) -> None:
        super().__init__()
        self.layer = layer
        self.optimiser = torch.optim.SGD(
            layer.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )


def _layer(settings: LinearSgd, size: int, classes: int, generator: torch.Generator) -> _Trained:
    """Weights from N(0, 0.01²), bias 0."""
    linear = nn.Linear(size, classes)
    with torch.no_grad():
        linear.weight.normal_(std=0.01, generator=generator)
        linear.bias.zero_()
    return _Trained(nn.Sequential(nn.BatchNorm1d(size), linear) if settings.batch_norm else linear, settings)


def _input(settings: LinearSgd, rows: Rows) -> Tensor:
    features = torch.from_numpy(np.ascontiguousarray(rows))
    return nn.functional.normalize(features, dim=1) if settings.unit_features else features


def _train_epoch(
    model: _Trained, settings: LinearSgd, epoch: int, x: Tensor, targets: Tensor, generator: torch.Generator
) -> None:
    for group in model.optimiser.param_groups:
        group["lr"] = step_decay(settings.lr, epoch, settings.milestones, settings.decay)
    model.train()
    for rows in torch.split(torch.randperm(len(x), generator=generator), settings.batch):
        if settings.batch_norm and len(rows) == 1:  # one row has no variance
            continue
        loss = nn.functional.cross_entropy(model.layer(x[rows]), targets[rows])
        model.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        model.optimiser.step()


@torch.no_grad()
def _said(model: _Trained, queries: Tensor, seen: Integers, classes: int) -> Rows:
    model.eval()
    scores: Any = model.layer(queries)
    if not scores.isfinite().all():
        raise VimixError(
            "the linear layer's training diverged: the protocol's learning rate does not fit these features; use "
            "--protocol vimix"
        )
    result = np.zeros((len(queries), classes), dtype=np.float32)
    result[:, seen] = scores.softmax(dim=1).numpy()
    return result
