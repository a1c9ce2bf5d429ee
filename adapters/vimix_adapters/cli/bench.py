"""``vimix bench``."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.run import Device


def bench(
    out: Annotated[Path, typer.Option(help="Table to write, in markdown.", metavar="FILE.md")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="steps, skeletons, blend, pipeline, retrieval, probe, start."),
    ] = None,
    device: Device = "cpu",
    clock: Annotated[str, typer.Option(help="wall, or cpu where others use the machine too.")] = "wall",
    tiny: Annotated[bool, typer.Option("--tiny", help="Sizes of a test: says nothing about speed.")] = False,
) -> None:
    """Measure training steps, blending, input, retrieval, probe and start-up against plain ways of doing the same."""
    from vimix_adapters.commands.bench import write_benchmarks

    missed = write_benchmarks(out, only or (), device, clock, tiny)
    if missed:
        print(f"missed: {', '.join(missed)}")
