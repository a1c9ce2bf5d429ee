"""A training step of vimix beside that of a peer's own public code: the same clips, weights and loss.

    python experiments/bench_peers.py PEER_CHECKOUT [--batch 4] [--steps 5]

PEER_CHECKOUT is a clone of https://github.com/TengdaHan/CoCLR (InfoNCE with S3D) or of
https://github.com/LinguoLi/CrosSCLR (SkeletonCLR with ST-GCN). Its code is run as it is, on the CPU: ``.cuda()`` does
nothing meanwhile, a process group of one stands for several GPUs, and CrosSCLR's keys are enqueued here, because its
own way needs the number of a GPU. The steps run in turn, processor time is measured, and the script ends with exit code
1 if the first losses, in float32 and without dropout, differ by more than 1e-4.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor
from torch.nn import functional

from vimix.app.learner import Learner
from vimix.values.clip_batch import ClipBatch
from vimix.values.modality import JOINT, RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.benchmarks.step_speed import random_batch
from vimix_adapters.benchmarks.timing import CLOCKS, seconds
from vimix_adapters.checkpoints.weight_formats import LAYOUTS
from vimix_adapters.checkpoints.weight_matching import match_weights
from vimix_adapters.encoders.contrastive_network import Compute, ContrastiveNetwork
from vimix_adapters.reports.environment import commit, machine

CPU = Compute(torch.device("cpu"))
ALLOWED = 1e-4
"""Greatest difference of the first losses, in nats."""


@frozen
class Peer:
    """A peer: the files that identify its code, its step, and the same step in vimix."""

    name: str
    mark: str
    """File by which its checkout is known."""
    layout: str
    """Its weight format, a key of ``LAYOUTS``."""
    modality: Modality
    head: tuple[str, str]
    """Names of the two layers of its projection head."""
    build: Callable[[float], Any]
    """Builds its network for MoCo from the rate of dropout."""
    loss: Callable[[Any, Tensor, Tensor], Tensor]
    recipe: Callable[[int, float], config.Recipe]
    """Describes its step from the batch and the rate of dropout."""
    dropout: float


def main() -> int:
    """Compare losses, time the steps and print a table; the exit code is 1 if the losses differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, metavar="PEER_CHECKOUT")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    found = [peer for peer in PEERS if (asked.checkout / peer.mark).is_file()]
    if not found:
        marks = " nor ".join(f"{peer.mark} ({peer.name})" for peer in PEERS)
        parser.error(f"{asked.checkout} has neither {marks}: expected a clone of one of these repositories")
    peer = found[0]
    _prepare(asked.checkout)
    torch.manual_seed(0)
    theirs, ours = _losses(peer, asked.batch)
    print(f"{peer.name} at {commit(asked.checkout / peer.mark)}, vimix at {commit()}; {machine()}, one process")
    print(f"loss of the first step: theirs {theirs:.6f}, vimix {ours:.6f}, difference {abs(theirs - ours):.1e} nats")
    _times(peer, asked.batch, asked.steps)
    return int(abs(theirs - ours) > ALLOWED)


def _losses(peer: Peer, batch: int) -> tuple[float, float]:
    """The losses of the first step of both in float32 without dropout, from the same weights."""
    recipe, network = peer.recipe(batch, 0.0), peer.build(0.0).train()
    clips = random_batch(recipe, {peer.modality: 2}, CPU)
    step = _our_step(peer, recipe, network, CPU)
    theirs = float(peer.loss(network, *clips.views[peer.modality]).detach())
    return theirs, step(clips)


def _times(peer: Peer, batch: int, steps: int) -> None:
    """Print the median time of a step of the peer's, of vimix in float32, and of vimix as it runs by default."""
    recipe, network = peer.recipe(batch, peer.dropout), peer.build(peer.dropout).train()
    clips, default = random_batch(recipe, {peer.modality: 2}, CPU), wiring.build_compute(recipe, "cpu")
    views, optimiser = clips.views[peer.modality], _optimiser(recipe, network)

    def theirs() -> None:
        loss = peer.loss(network, *views)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward without annotations
        optimiser.step()
        loss.item()

    ways: dict[str, Callable[[], object]] = {f"{peer.name}, float32": theirs}
    for compute in dict.fromkeys((CPU, default)):
        step = _our_step(peer, recipe, network, compute)
        name = str(compute.dtype).removeprefix("torch.")
        ways[f"vimix, {name}"] = lambda step=step: step(clips)  # type: ignore[misc]  # a default binds the loop's step
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + steps):
        for name, work in ways.items():
            spent[name].append(seconds(work, CLOCKS["cpu"]))
    print("\n| step | processor time | times as fast |\n| --- | ---: | ---: |")
    (reference, *_), medians = ways, {name: statistics.median(times[1:]) for name, times in spent.items()}
    for name, median in medians.items():
        print(f"| {name} | {median:.3g} s | {medians[reference] / median:.2f} |")


def _our_step(peer: Peer, recipe: config.Recipe, network: Any, compute: Compute) -> Callable[[ClipBatch], float]:
    """vimix's step from the peer's weights and queue; returns the loss."""
    learner = wiring.build_learner(recipe, peer.modality, compute)
    _take_over(peer, network, learner)
    stage = wiring.build_stage(recipe, config.PretrainStage(peer.modality))
    step, rng = wiring.build_step(recipe, stage, learner, {}, compute), np.random.default_rng(0)
    return lambda clips: float(step(clips, rng).loss)


def _take_over(peer: Peer, network: Any, learner: Learner) -> None:
    for own, theirs in ((learner.query, network.encoder_q), (learner.key, network.encoder_k)):
        assert isinstance(own, ContrastiveNetwork)
        state, names = theirs.state_dict(), own.encoder.state_dict()
        match = match_weights(state, {name: value.shape for name, value in names.items()}, LAYOUTS[peer.layout])
        own.encoder.load_state_dict({**names, **match.found})
        for layer, name in zip((own.head[0], own.head[2]), peer.head, strict=True):
            layer.load_state_dict({"weight": state[f"{name}.weight"].flatten(1), "bias": state[f"{name}.bias"]})
    learner.queue.enqueue(network.queue.T, torch.full((network.queue.shape[1],), -1))


def _optimiser(recipe: config.Recipe, network: Any) -> torch.optim.Optimizer:
    """The peer's optimiser, with torch's defaults for its implementation."""
    optim = recipe.optim
    if optim.name == "sgd":
        return torch.optim.SGD(network.parameters(), optim.lr, optim.sgd_momentum, weight_decay=optim.weight_decay)
    return torch.optim.Adam(network.parameters(), optim.lr, weight_decay=optim.weight_decay)


def _prepare(checkout: Path) -> None:
    """Make the peer's modules importable and let its calls for GPUs do nothing, for the rest of the process."""
    sys.path.insert(0, str(checkout.resolve()))
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]  # peers call it on every tensor
    stub = ModuleType("torchlight")  # CrosSCLR's module for logs and GPUs
    stub.import_class = _named  # type: ignore[attr-defined]  # a stub
    sys.modules["torchlight"] = stub
    meeting = Path(tempfile.mkdtemp()) / "group"
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _coclr(dropout: float) -> Any:
    del dropout
    return import_module("model.pretrain").InfoNCE()


def _coclr_loss(network: Any, x_q: Tensor, x_k: Tensor) -> Tensor:
    return functional.cross_entropy(*network(torch.stack([x_q, x_k], dim=1)))


def _coclr_recipe(batch: int, dropout: float) -> config.Recipe:
    del dropout
    return _plain(config.Recipe("peer", config.Data(store="", frames=32), {RGB: config.ModalitySettings()}), batch)


def _crosclr(dropout: float) -> Any:
    build = import_module("net.skeletonclr").SkeletonCLR
    network: Any = build("net.st_gcn.Model", hidden_channels=16, dropout=dropout)

    def enqueue(keys: Tensor) -> None:
        start = int(network.queue_ptr)
        network.queue[:, start : start + len(keys)] = keys.T

    network._dequeue_and_enqueue = enqueue
    return network


def _crosclr_loss(network: Any, x_q: Tensor, x_k: Tensor) -> Tensor:
    logits, targets = network(x_q, x_k)
    network.update_ptr(len(logits))
    return functional.cross_entropy(logits, targets)


def _crosclr_recipe(batch: int, dropout: float) -> config.Recipe:
    stgcn = config.Stgcn(persons="all", hops="one", dropout=dropout)
    recipe = config.Recipe(
        "peer", config.Data(store="", frames=50), {JOINT: config.ModalitySettings(encoder="stgcn", stgcn=stgcn)}
    )
    recipe = evolve(recipe, contrast=config.Contrast(queue=32768))
    return _plain(evolve(recipe, optim=config.Optim(name="sgd", lr=0.1, weight_decay=1e-4)), batch)


def _plain(recipe: config.Recipe, batch: int) -> config.Recipe:
    """The recipe with MoCo as the peers write it: no mixing, no groups, own key and queue."""
    contrast = evolve(recipe.contrast, bn_groups=1, negatives="queue")
    mix = config.Pretrain(mix=config.InputMix(policy="none"))
    return evolve(recipe, contrast=contrast, pretrain=mix, optim=evolve(recipe.optim, batch=batch))


PEERS = (
    Peer("CoCLR", "backbone/s3dg.py", "coclr", RGB, ("2", "4"), _coclr, _coclr_loss, _coclr_recipe, dropout=0.0),
    Peer(
        "CrosSCLR",
        "net/skeletonclr.py",
        "crosclr",
        JOINT,
        ("fc.0", "fc.2"),
        _crosclr,
        _crosclr_loss,
        _crosclr_recipe,
        dropout=0.5,
    ),
)

if __name__ == "__main__":
    sys.exit(main())
