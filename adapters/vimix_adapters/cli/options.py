"""Options and arguments that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

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
