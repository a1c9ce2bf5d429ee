"""The linear probe as CoCLR and CrosSCLR train it: one layer, by SGD, for a fixed number of epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from attrs import asdict, frozen
from numpy.typing import NDArray
from torch import Tensor, nn

from vimix.domain.schedule.stages import step_decay
from vimix.ports.probe import ProbeOutcome
from vimix.values.errors import VimixError
from vimix_adapters.config.probe_settings import LinearSgd

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]


@frozen
class SgdProbe:
    """Implements ``vimix.ports.probe.LinearProbe`` with fixed settings; the last epoch is the result.

    ``by_epoch`` holds the predictions after epochs ``first_tested``, ``first_tested + every``, ..., for peers that
    report the best epoch on test; those after the last epoch if the training is shorter.
    """

    settings: LinearSgd
    widths: tuple[int, ...] = ()
    """Lengths of the features of several streams, which lie one after the other in a row: each stream has its own
    layer, and all are trained together on the mean of their logits. Empty: rows are of one stream."""

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
        widths = self.widths or (features.shape[1],)
        model = _MeanLogits(settings, widths, len(seen), generator)
        optimiser = torch.optim.SGD(
            model.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        x, x_test = (_input(settings, widths, rows) for rows in (features, queries))
        by_epoch = {}
        for epoch in range(settings.epochs):
            rate = step_decay(settings.lr, epoch, settings.milestones, settings.decay)
            _train_epoch(model, optimiser, rate, settings, x, torch.from_numpy(targets), generator)
            if epoch % settings.every == settings.first_tested:
                by_epoch[epoch] = _predicted(model, x_test, seen, int(labels.max()) + 1)
        last = _predicted(model, x_test, seen, int(labels.max()) + 1)
        protocol = {"classifier": "linear layer, SGD; its last epoch", **asdict(settings)}
        return ProbeOutcome(last, protocol, by_epoch or {settings.epochs - 1: last})


class _MeanLogits(nn.Module):
    """The mean over streams of the logits of a fresh linear layer each; with one stream it is the layer."""

    def __init__(self, settings: LinearSgd, widths: Sequence[int], classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.widths = list(widths)
        self.layers = nn.ModuleList(_layer(settings, width, classes, generator) for width in widths)

    def forward(self, rows: Tensor) -> Tensor:
        parts = zip(self.layers, torch.split(rows, self.widths, dim=1), strict=True)
        return torch.stack([layer(part) for layer, part in parts]).mean(dim=0)


def _layer(settings: LinearSgd, size: int, classes: int, generator: torch.Generator) -> nn.Module:
    """A fresh layer: normal weights, bias 0."""
    linear = nn.Linear(size, classes)
    with torch.no_grad():
        linear.weight.normal_(std=settings.initial_std, generator=generator)
        linear.bias.zero_()
    return nn.Sequential(nn.BatchNorm1d(size), linear) if settings.batch_norm else linear


def _input(settings: LinearSgd, widths: Sequence[int], rows: Rows) -> Tensor:
    features = torch.from_numpy(np.ascontiguousarray(rows))
    if not settings.unit_features:
        return features
    return torch.cat(
        [nn.functional.normalize(part, dim=1) for part in torch.split(features, list(widths), dim=1)], dim=1
    )


def _train_epoch(
    model: nn.Module,
    optimiser: torch.optim.SGD,
    rate: float,
    settings: LinearSgd,
    x: Tensor,
    targets: Tensor,
    generator: torch.Generator,
) -> None:
    optimiser.param_groups[0]["lr"] = rate
    model.train()
    batch = min(settings.batch, len(x))
    for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
        if settings.batch_norm and len(rows) == 1:  # a single row has no variance
            continue
        if settings.drop_last and len(rows) < batch:
            continue
        loss = nn.functional.cross_entropy(model(x[rows]), targets[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        optimiser.step()


@torch.no_grad()
def _predicted(model: nn.Module, queries: Tensor, seen: Integers, classes: int) -> Rows:
    """Class probabilities [Q, classes]. Raises VimixError if a score is not finite."""
    model.eval()
    scores: Any = model(queries)
    if not scores.isfinite().all():
        raise VimixError(
            "the training of the linear layer diverged: the protocol's learning rate does not fit these features; use "
            "--protocol vimix"
        )
    result = np.zeros((len(queries), classes), dtype=np.float32)
    result[:, seen] = scores.softmax(dim=1).numpy()
    return result
