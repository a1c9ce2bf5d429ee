"""Scenarios of the ranks of a group that need no network of their own."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vimix.ports.process_group import ProcessGroup


def exercises(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Call every method of a group once, on rows whose values show where they come from."""
    rows = 10 * group.rank + torch.arange(3)
    order = np.random.default_rng(0).permutation(3 * group.size)
    uneven = torch.full((2 * group.rank, 4), float(group.rank))
    wide = torch.stack([rows, -rows]).T.float().requires_grad_()
    return {
        "rank": group.rank,
        "gathered": group.all_gather(rows),
        "ragged": group.all_gather_ragged(uneven),
        "permuted": group.permute_rows(wide, order),
        "any": bool(group.any(torch.tensor(group.rank == 1))),
        "none": bool(group.any(torch.tensor(False))),
        "max": group.max(7, group.rank),
        "waited": _waits(group),
    }


def _waits(group: ProcessGroup) -> bool:
    """Whether this rank waits until all have come, of which the last is late."""
    begun = time.monotonic()
    if group.rank == group.size - 1:
        time.sleep(0.2)
    group.wait()
    return time.monotonic() - begun > 0.15


def killed(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Rank 1 dies in the middle of the third step."""
    return _broken(group, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hanging(group: ProcessGroup, _: Any) -> dict[str, Any]:
    """Rank 1 stays away for longer than the others wait."""
    return _broken(group, lambda: time.sleep(8))


def command(_: Any, folder: Path) -> dict[str, Any]:
    """The command line that stands in ``command.txt``."""
    from vimix_adapters.cli import main

    sys.argv = ["vimix", *(folder / "command.txt").read_text().split("\n")]
    try:
        main.run()
    except SystemExit as end:
        if end.code:
            os._exit(int(end.code))
    return {}


command.joins = True  # type: ignore[attr-defined]


def slowly_measured(_: Any, folder: Path) -> dict[str, Any]:
    """The same; features take half a second a batch."""
    from vimix_adapters.encoders.contrastive_network import ContrastiveNetwork

    features = ContrastiveNetwork.features

    def dawdling(network: ContrastiveNetwork, clips: torch.Tensor) -> torch.Tensor:
        time.sleep(0.5)
        return features(network, clips)

    ContrastiveNetwork.features = dawdling  # type: ignore[method-assign]
    return command(None, folder)


slowly_measured.joins = True  # type: ignore[attr-defined]


def slowly_scored(_: Any, folder: Path) -> dict[str, Any]:
    """The same; the scores of an arm take four seconds."""
    from vimix_adapters.commands import scores

    measure = scores.measure

    def dawdling(*arguments: Any) -> Any:
        time.sleep(4)
        return measure(*arguments)

    scores.measure = dawdling
    return command(None, folder)


slowly_scored.joins = True  # type: ignore[attr-defined]


def stop_requested(_: Any, folder: Path) -> dict[str, Any]:
    """The same; rank 1 alone gets a SIGTERM after its second update."""
    from vimix_adapters.encoders.contrastive_network import TorchOptimiser

    step, updates = TorchOptimiser.step, []

    def stepping(optimiser: TorchOptimiser, loss: torch.Tensor) -> torch.Tensor:
        updates.append(step(optimiser, loss))
        if len(updates) == 2 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return updates[-1]

    TorchOptimiser.step = stepping  # type: ignore[method-assign]
    return command(None, folder)


stop_requested.joins = True  # type: ignore[attr-defined]


def _broken(group: ProcessGroup, end: Any) -> dict[str, Any]:
    for step in range(6):
        if group.rank == 1 and step == 3:
            end()
        group.all_gather(torch.ones(2))
        group.max(step, 0)
    return {}
