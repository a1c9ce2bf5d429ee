"""Options that several commands share."""

import os
from typing import Annotated

import typer

Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Workers = Annotated[int, typer.Option(help="Number of worker processes; 0 takes one for each core.", min=0)]


def worker_count(workers: int) -> int:
    """Return the number of processes for ``--workers``: 0 stands for the number of cores."""
    return workers or os.cpu_count() or 1
