"""The linear probe as CoCLR and CrosSCLR train it: one layer, by SGD, for a fixed number of epochs."""

from typing import Any

import numpy as np
import torch
from attrs import asdict, frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from vimix.domain.schedule.rates import step_decay
from vimix.ports.probe import ProbeOutcome
from vimix.values.errors import VimixError
from vimix_adapters.config.probe_settings import LinearSgd

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


@frozen
class SgdProbe:
    """Implements ``vimix.ports.probe.LinearProbe`` with fixed settings; the last epoch is the result.

    ``by_epoch`` holds the predictions after epochs 0, ``every``, ..., for peers that report the best epoch on test.
    """

    settings: LinearSgd

    def fit_predict(
        self, features: Rows, labels: Integers, sources: Integers, queries: Rows, seed: int
    ) -> ProbeOutcome:
        """Train on features [N, D] with labels [N], predict the queries [Q, D]; ``sources`` are not used.

        Raises VimixError for fewer than two classes, or if training diverged.
        """
        del sources
        seen, targets = np.unique(labels, return_inverse=True)
        if len(seen) < 2:
            raise VimixError("a linear probe needs training videos of at least two classes; name another split")
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        model = _layer(settings, features.shape[1], len(seen), generator)
        x, x_test = (_input(settings, rows) for rows in (features, queries))
        by_epoch = {}
        for epoch in range(settings.epochs):
            _train_epoch(model, settings, epoch, x, torch.from_numpy(targets), generator)
            if epoch % settings.every == 0 or epoch == settings.epochs - 1:
                by_epoch[epoch] = _predicted(model, x_test, seen, int(labels.max()) + 1)
        protocol = {"classifier": "linear layer, SGD; its last epoch", **asdict(settings)}
        return ProbeOutcome(by_epoch[settings.epochs - 1], protocol, by_epoch)


class _Trained(nn.Module):
    """The layer with its optimiser."""

    def __init__(self, layer: nn.Module, settings: LinearSgd) -> None:
        super().__init__()
        self.layer = layer
        self.optimiser = torch.optim.SGD(
            layer.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )


def _layer(settings: LinearSgd, size: int, classes: int, generator: torch.Generator) -> _Trained:
    """A fresh layer: weights from N(0, 0.01²), bias 0."""
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
        if settings.batch_norm and len(rows) == 1:  # a single row has no variance
            continue
        loss = nn.functional.cross_entropy(model.layer(x[rows]), targets[rows])
        model.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        model.optimiser.step()


@torch.no_grad()
def _predicted(model: _Trained, queries: Tensor, seen: Integers, classes: int) -> Rows:
    """Class probabilities [Q, classes]. Raises VimixError if a score is not finite."""
    model.eval()
    scores: Any = model.layer(queries)
    if not scores.isfinite().all():
        raise VimixError(
            "the training of the linear layer diverged: the protocol's learning rate does not fit these features; use "
            "--protocol vimix"
        )
    result = np.zeros((len(queries), classes), dtype=np.float32)
    result[:, seen] = scores.softmax(dim=1).numpy()
    return result
