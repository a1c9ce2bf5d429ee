"""Options and arguments that several commands share."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vimix_adapters.prepare.engines import Engine

RecipeFile = Annotated[Path, typer.Argument(help="Recipe in TOML; experiments/ has examples.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe, such as optim.lr=3e-4; repeatable.", metavar="KEY=VALUE"),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N; auto uses a CUDA GPU if there is one.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Workers = Annotated[int, typer.Option(help="Number of worker processes; 0 takes one for each core.", min=0)]


def worker_count(workers: int) -> int:
    """Return the number of processes for ``--workers``: 0 stands for the number of cores."""
    return workers or os.cpu_count() or 1


class EngineName(StrEnum):
    """Engines that run the jobs of a command."""

    local = "local"
    ray = "ray"


EngineOption = Annotated[
    EngineName,
    typer.Option(
        "--engine", help="local: worker processes of this machine; ray: a Ray cluster, which needs the extra [ray]."
    ),
]
Address = Annotated[
    str,
    typer.Option(
        help="Address of the Ray cluster; by default RAY_ADDRESS, or one that runs on this machine, else a new one.",
        metavar="HOST:PORT",
    ),
]


def engine_and_workers(name: EngineName, address: str, workers: int) -> tuple["Engine", int]:
    """Return the engine of the options, and the number of its workers; 0 lets Ray use all cores of its cluster.

    Raises VimixError for an address without Ray.
    """
    from vimix.values.errors import VimixError
    from vimix_adapters.prepare.engines import RayEngine
    from vimix_adapters.prepare.worker_pool import run_jobs

    if name is EngineName.ray:
        return RayEngine(address), workers
    if address:
        raise VimixError("--address is that of a Ray cluster: add --engine ray")
    return run_jobs, worker_count(workers)
