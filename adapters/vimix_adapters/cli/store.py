"""``vimix store``: describe, check, merge and divide stores, and write a video of one as a file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vimix_adapters.cli.options import Force, Workers, worker_count

app = typer.Typer(help="Describe, check, merge and divide stores.", no_args_is_help=True)


@app.command()
def info(
    store: Annotated[Path, typer.Argument(help="Store to describe.", metavar="STORE")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print videos, classes, splits, modalities and settings of a store, or the progress of an unfinished one."""
    import json

    from vimix_adapters.prepare.store_info import describe, store_table
    from vimix_adapters.reports.console import show_table

    described = describe(store)
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        show_table(store_table(described))


@app.command()
def verify(
    store: Annotated[Path, typer.Argument(help="Store to check.", metavar="STORE")],
    workers: Workers = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read all bytes, compare checksums and decode all frames; exit code 3 if a video is bad."""
    import json

    from vimix_adapters.prepare.store_tools import verify as check
    from vimix_adapters.reports.console import plain_console

    result = check(store, worker_count(workers), plain_console(stderr=True))
    bad, videos, fingerprint = result["bad"], result["videos"], result["fingerprint"]
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{store}: {len(bad)} of {videos} videos are bad (fingerprint {fingerprint})")
        for finding in bad:
            print(f"  {finding['video']}: {finding['reason']}")
    if bad:
        raise typer.Exit(3)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="Store to write.", metavar="OUT.h5")],
    parts: Annotated[list[Path], typer.Argument(help="Stores of one data set; they are kept.", metavar="STORE...")],
    force: Force = False,
) -> None:
    """Join stores of the same settings and classes into one file, its videos sorted by name.

    A single store in shards becomes one file with the same order of videos and the same fingerprint.
    """
    from vimix_adapters.prepare.store_tools import merge as join

    made = join(out, parts, force)
    print(f"{out}: {len(made.videos)} videos of {len(parts)} stores (fingerprint {made.fingerprint})")


@app.command()
def split(
    store: Annotated[Path, typer.Argument(help="Store of videos to divide; it is kept.", metavar="STORE")],
    out: Annotated[Path, typer.Argument(help="Folder to write.", metavar="FOLDER")],
    shard_gib: Annotated[float, typer.Option(help="Size of a shard, in GiB.", min=1e-6, metavar="GIB")] = 3.0,
    force: Force = False,
) -> None:
    """Divide a store into a folder of shards, which is a store with the same fingerprint."""
    from vimix_adapters.prepare.store_tools import split as divide

    made = divide(store, out, round(shard_gib * 2**30), force)
    print(f"{out}: {len(made.videos)} videos in {len(made.files)} shards (fingerprint {made.fingerprint})")


@app.command()
def index(
    folder: Annotated[Path, typer.Argument(help="Folder with stores of one data set.", metavar="FOLDER")],
    force: Annotated[bool, typer.Option("--force", help="Replace the index of the folder.")] = False,
) -> None:
    """Turn the stores in a folder into one store without copying them: write an index, its videos sorted by name."""
    from vimix_adapters.prepare.store_tools import index as join

    made = join(folder, force)
    print(f"{folder}: {len(made.videos)} videos in {len(made.files)} shards (fingerprint {made.fingerprint})")


@app.command()
def export(
    store: Annotated[Path, typer.Argument(help="Store that contains the video.", metavar="STORE")],
    video: Annotated[str, typer.Argument(help="Name or number of the video.", metavar="VIDEO")],
    out: Annotated[Path, typer.Option(help="Video file to write.", metavar="FILE.mp4")],
    modality: Annotated[
        Literal["rgb", "flow"],
        typer.Option(help="rgb, or flow in colours: the hue is the direction, the brightness the speed."),
    ] = "rgb",
    scale: Annotated[
        float,
        typer.Option(
            help="Speed of flow at full brightness, in pixels a frame; 0: the 99th percentile, at least 1.", min=0
        ),
    ] = 0.0,
    force: Force = False,
) -> None:
    """Write a video of the store as a playable file."""
    from vimix.values.modality import Modality
    from vimix_adapters.prepare.store_tools import export as write

    print(write(store, video, out, Modality(modality), scale or None, force))
