"""``vimix prepare``: from files as they are distributed to one verified store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli import prepare_published, prepare_skeletons
from vimix_adapters.cli.prepare_options import Out, pack_and_report, with_packing

if TYPE_CHECKING:
    from vimix_adapters.prepare.report import Packing

app = typer.Typer(help="Make a store from video files or skeletons.", no_args_is_help=True)
app.command()(with_packing(prepare_published.ucf101))
app.command()(with_packing(prepare_published.hmdb51))
app.command()(with_packing(prepare_published.kinetics))
app.command("ntu60-videos")(with_packing(prepare_published.ntu60_videos))
app.command("ntu120-videos")(with_packing(prepare_published.ntu120_videos))
app.command()(prepare_skeletons.ntu60)
app.command()(prepare_skeletons.ntu120)
app.command()(prepare_skeletons.skeletons)


@app.callback()
def _group() -> None:
    """Make a store from video files."""


@app.command()
@with_packing
def folder(
    videos: Annotated[Path, typer.Argument(help="Folder with CLASS/clip.mp4.", metavar="VIDEOS")],
    out: Out,
    packing: "Packing",
    split: Annotated[Path | None, typer.Option(help="CSV: path,label,split[,source].", metavar="FILE")] = None,
) -> None:
    """Decode every video once, compute its flow, and write one HDF5 store."""
    from vimix_adapters.datasets.folder import folder_listing

    pack_and_report(folder_listing(videos, split), out, packing)


@app.command()
@with_packing
def csv(
    videos: Annotated[Path, typer.Argument(help="CSV: path,split[,label][,group].", metavar="LIST.csv")],
    out: Out,
    packing: "Packing",
    root: Annotated[
        Path | None, typer.Option("--videos", help="Where the paths begin; else the list's folder.", metavar="DIR")
    ] = None,
) -> None:
    """The videos of a list of your own; several splits of one video are written train1;test2."""
    from vimix_adapters.datasets.csv_list import list_csv

    pack_and_report(list_csv(videos, root), out, packing)
