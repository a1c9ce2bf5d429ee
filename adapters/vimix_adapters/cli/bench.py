"""``vimix bench``."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Device, Force


def bench(
    out: Annotated[Path, typer.Option(help="Markdown file to write.", metavar="FILE.md")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Benchmark to run: steps, skeletons, blend, pipeline, retrieval, probe, start or, only if named, "
            "throughput; repeatable."
        ),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="Clips in a batch of throughput, an even number; repeatable.", min=2)
    ] = None,
    device: Device = "cpu",
    clock: Annotated[str, typer.Option(help="wall, or cpu on a machine that others use too.")] = "wall",
    tiny: Annotated[bool, typer.Option("--tiny", help="Use sizes that test the command but not the speed.")] = False,
    force: Force = False,
) -> None:
    """Compare the speed of steps, blending, input, retrieval, probe and start-up with that of plain code."""
    from vimix_adapters.commands.bench import write_benchmarks

    missed = write_benchmarks(out, only or (), batch or (), device, clock, tiny, force)
    if missed:
        print(f"missed: {', '.join(missed)}")
