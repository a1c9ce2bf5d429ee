"""What members of a team do in the tests, as far as it needs no network."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vimix.ports.team import Team


def exercises(team: Team, _: Any) -> dict[str, Any]:
    """Every method of a team once, on rows that tell where they come from."""
    rows = 10 * team.rank + torch.arange(3)
    order = np.random.default_rng(0).permutation(3 * team.size)
    uneven = torch.full((2 * team.rank, 4), float(team.rank))
    wide = torch.stack([rows, -rows]).T.float().requires_grad_()
    return {
        "rank": team.rank,
        "gathered": team.gather(rows),
        "collected": team.collect(uneven),
        "exchanged": team.exchange(wide, order),
        "either": bool(team.either(torch.tensor(team.rank == 1))),
        "neither": bool(team.either(torch.tensor(False))),
        "agreed": team.agree(7, team.rank),
    }


def killed(team: Team, _: Any) -> dict[str, Any]:
    """Member 1 dies in the middle of the third step."""
    return _broken(team, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hanging(team: Team, _: Any) -> dict[str, Any]:
    """Member 1 stays away for longer than the others wait."""
    return _broken(team, lambda: time.sleep(8))


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
    from vimix_adapters.encoders.network import ContrastiveNetwork

    features = ContrastiveNetwork.features

    def dawdling(network: ContrastiveNetwork, clips: torch.Tensor) -> torch.Tensor:
        time.sleep(0.5)
        return features(network, clips)

    ContrastiveNetwork.features = dawdling  # type: ignore[method-assign]
    return command(None, folder)


slowly_measured.joins = True  # type: ignore[attr-defined]


def asked_to_stop(_: Any, folder: Path) -> dict[str, Any]:
    """The same; member 1 alone gets a SIGTERM after its second update."""
    from vimix_adapters.encoders.network import TorchOptimiser

    step, updates = TorchOptimiser.step, []

    def stepping(optimiser: TorchOptimiser, loss: torch.Tensor) -> torch.Tensor:
        updates.append(step(optimiser, loss))
        if len(updates) == 2 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        return updates[-1]

    TorchOptimiser.step = stepping  # type: ignore[method-assign]
    return command(None, folder)


asked_to_stop.joins = True  # type: ignore[attr-defined]


def _broken(team: Team, end: Any) -> dict[str, Any]:
    for step in range(6):
        if team.rank == 1 and step == 3:
            end()
        team.gather(torch.ones(2))
        team.agree(step, 0)
    return {}
