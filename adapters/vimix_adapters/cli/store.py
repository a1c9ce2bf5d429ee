"""``vimix store``: what a store holds, whether it is sound, several as one, and a video of it to look at."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look into stores, check and merge them.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Look into stores, check and merge them."""


class Shown(StrEnum):
    """What can be exported."""

    rgb = "rgb"
    flow = "flow"


@app.command()
def info(
    store: Annotated[Path, typer.Argument(help="Store to describe.", metavar="STORE.h5")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print videos, classes, splits, modalities and settings of a store; of an unfinished one, how far it is."""
    import json

    from vimix_adapters.commands.describing import describe, store_table
    from vimix_adapters.reports.console import show_table

    found = describe(store)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        show_table(store_table(found))


@app.command()
def verify(
    store: Annotated[Path, typer.Argument(help="Store to check.", metavar="STORE.h5")],
    workers: Annotated[int, typer.Option(help="Processes; 0 takes all cores.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read every byte, compare the checksums, decode every frame. Exit code 3 if a video is bad."""
    import json

    from vimix_adapters.commands.storekeeping import verify as check
    from vimix_adapters.reports.console import plain_console

    found = check(store, workers or os.cpu_count() or 1, plain_console(stderr=True))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{store}: {len(found['bad'])} of {found['videos']} videos are bad (fingerprint {found['fingerprint']})")
        for bad in found["bad"]:
            print(f"  {bad['video']}: {bad['reason']}")
    if found["bad"]:
        raise typer.Exit(3)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Store to write.", metavar="OUT.h5")],
    parts: Annotated[list[Path], typer.Argument(help="Shards: stores of one data set.", metavar="PART.h5...")],
) -> None:
    """Join stores of the same settings and classes; the shards stay. Videos are sorted by name."""
    from vimix_adapters.commands.storekeeping import merge as join

    made = join(out, parts)
    print(f"{out}: {len(made.videos)} videos of {len(parts)} stores (fingerprint {made.fingerprint})")


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Store.", metavar="STORE.h5")],
    video: Annotated[str, typer.Argument(help="Name of the video, or its number.", metavar="VIDEO")],
    out: Annotated[Path, typer.Option(help="File to write.", metavar="FILE.mp4")],
    modality: Annotated[Shown, typer.Option(help="Flow is drawn in colours: hue the way, brightness the speed.")] = (
        Shown.rgb
    ),
    scale: Annotated[
        float, typer.Option(help="Flow: pixels a frame at full brightness; 0: the 99th percentile, at least 1.", min=0)
    ] = 0.0,
) -> None:
    """Write a video of the store as a playable file."""
    from vimix.values.modality import Modality
    from vimix_adapters.commands.storekeeping import export as write

    print(write(store, video, out, Modality(modality.value), scale or None))
