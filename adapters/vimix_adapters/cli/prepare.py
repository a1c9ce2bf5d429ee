"""``vimix prepare``: from files as they are distributed to one verified store."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make a store from video files.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make a store from video files."""


class Flow(StrEnum):
    """Optical flow estimators."""

    tvl1 = "tvl1"
    tvl1_torch = "tvl1-torch"
    dis = "dis"
    none = "none"


class Codec(StrEnum):
    """How frames are stored."""

    jpeg = "jpeg"
    raw = "raw"


@app.command()
def folder(
    videos: Annotated[Path, typer.Argument(help="Folder with CLASS/clip.mp4.", metavar="VIDEOS")],
    out: Annotated[Path, typer.Option(help="Store to write.", metavar="STORE.h5")],
    flow: Annotated[Flow, typer.Option(help="tvl1 is the paper's, dis a hundred times faster.")] = Flow.tvl1,
    short_side: Annotated[int, typer.Option(help="Of the stored frames, pixels.")] = 128,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes all cores.", min=0)] = 0,
    split: Annotated[Path | None, typer.Option(help="CSV: path,label,split[,source].", metavar="FILE")] = None,
    flow_short_side: Annotated[int, typer.Option(help="Where flow is computed; 0: as the frames.", min=0)] = 0,
    flow_bound: Annotated[float, typer.Option(help="Flow is clipped to this many pixels.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Frames a second; 0 keeps each video's own.")] = 30.0,
    codec: Annotated[Codec, typer.Option(help="jpeg is small, raw is fast to read.")] = Codec.jpeg,
    quality: Annotated[int, typer.Option(help="Of JPEG.", min=1, max=100)] = 95,
    time_limit: Annotated[float, typer.Option(help="Seconds a file may take.", min=0.1)] = 600.0,
) -> None:
    """Decode every video once, compute its flow, and write one HDF5 store."""
    from rich.console import Console

    from vimix.values.errors import VimixError
    from vimix_adapters.clips.hdf5 import PackSettings
    from vimix_adapters.commands import preparing
    from vimix_adapters.datasets.folder import list_folder

    try:
        settings = PackSettings(
            short_side=short_side,
            flow=flow.value,
            flow_short_side=flow_short_side or short_side,
            flow_bound=flow_bound,
            rate=rate,
            codec=codec.value,
            quality=quality,
        )
    except ValueError as error:
        raise VimixError(f"vimix prepare: {error.args[0]}") from error
    listed = list_folder(videos, split)
    report = preparing.prepare(listed, out, settings, workers or os.cpu_count() or 1, time_limit, Console(stderr=True))
    print(f"stored {report.stored} of {report.listed} videos in {out}")
    if report.failures:
        print(f"left out {len(report.failures)}, listed with reasons in {preparing.quarantine_file(out)}")
        for name, reason in report.failures[:10]:
            print(f"  {name}: {reason}")
    if not report.enough:
        raise typer.Exit(3)
