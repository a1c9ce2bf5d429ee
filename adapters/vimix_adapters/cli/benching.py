"""``vimix bench-data``."""

from pathlib import Path
from typing import Annotated

import typer


def bench_data(
    store: Annotated[Path, typer.Argument(help="Store to read from.", metavar="STORE.h5")],
    frames: Annotated[int, typer.Option(help="Of a clip.", min=1)] = 32,
    size: Annotated[int, typer.Option(help="Side of a clip, pixels.", min=8)] = 128,
    batch: Annotated[int, typer.Option(help="Videos of a batch.", min=2)] = 32,
    workers: Annotated[str, typer.Option(help="Numbers of processes to try.", metavar="N,N,...")] = "0,2,4",
    seconds: Annotated[float, typer.Option(help="To read with each of them.", min=0.1)] = 5.0,
    modality: Annotated[str | None, typer.Option(help="Two views of it; else the store's first.")] = None,
    split: Annotated[str | None, typer.Option(help="Else the first that begins with train.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Take clips and stages from it, and time its steps.", metavar="RECIPE")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of the recipe.", metavar="KEY=VALUE")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:N; auto takes a CUDA GPU where there is one.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast training clips come out of a store, and whether a training step would starve."""
    import json

    from vimix.values.errors import VimixError
    from vimix_adapters.commands import benching
    from vimix_adapters.config import read_recipe
    from vimix_adapters.reports.console import plain_console, show_table

    try:
        numbers = [int(number) for number in workers.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0:
        raise VimixError(f"--workers {workers}: expected numbers of processes such as 0,2,4")
    if recipe is not None:
        chosen = read_recipe(recipe, [*(overrides or ()), f"data.store={store}"])
        stages = benching.stages_of(chosen)
    else:
        chosen, stage = benching.plain_recipe(store, frames, size, batch, split, modality)
        stages = [stage]
    console = plain_console(stderr=True)
    measured = benching.bench(chosen, stages, numbers, seconds, device, console, time_steps=recipe is not None)
    if as_json:
        print(json.dumps(benching.as_data(measured), indent=2))
        return
    show_table(benching.bench_table(measured))
    for line in measured.advice:
        print(line)
