"""``vimix bench-data``."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Device, Overrides


def bench_data(
    store: Annotated[Path, typer.Argument(help="Store to read from.", metavar="STORE.h5")],
    frames: Annotated[int, typer.Option(help="Frames of a clip.", min=1)] = 32,
    size: Annotated[int, typer.Option(help="Side of a clip in pixels.", min=8)] = 128,
    batch: Annotated[int, typer.Option(help="Videos of a batch.", min=2)] = 32,
    workers: Annotated[str, typer.Option(help="Numbers of worker processes to try.", metavar="N,N,...")] = "0,2,4",
    seconds: Annotated[float, typer.Option(help="Time to read with each number of workers.", min=0.1)] = 5.0,
    modality: Annotated[
        str | None, typer.Option(help="Modality to read two views of; by default the store's first.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split to read; by default the first that begins with train.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Read the clips of this recipe, and time its training steps.", metavar="RECIPE")
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast training clips are read from a store, and whether a training step would have to wait."""
    from vimix_adapters.commands.bench_data import bench_store, plain_recipe
    from vimix_adapters.config import read_recipe

    numbers = _numbers(workers)
    if recipe is None:
        chosen = plain_recipe(store, frames, size, batch, split, modality)
    else:
        chosen = read_recipe(recipe, [*(overrides or ()), f"data.store={store}"])
    bench_store(chosen, numbers, seconds, device, recipe is not None, as_json)


def _numbers(workers: str) -> list[int]:
    """The numbers in ``0,2,4``. Raises VimixError for anything else."""
    from vimix.values.errors import VimixError

    numbers = workers.split(",")
    if not all(number.isdecimal() for number in numbers):
        raise VimixError(f"--workers {workers}: expected numbers of processes such as 0,2,4")
    return [int(number) for number in numbers]
