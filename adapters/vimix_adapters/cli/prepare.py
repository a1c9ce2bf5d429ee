"""``vimix prepare``: make a store from video or skeleton files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli import prepare_published, prepare_skeletons
from vimix_adapters.cli.prepare_options import Out, prepare_and_print, with_video_options

if TYPE_CHECKING:
    from vimix_adapters.prepare.report import PrepareOptions

PUBLISHED_SIDE = 256
"""Short side at which published sets are stored, as CoCLR's and I3D's: random crops to 128 pixels then shrink."""

app = typer.Typer(help="Make a store from video or skeleton files.", no_args_is_help=True)
app.command()(with_video_options(prepare_published.ucf101, PUBLISHED_SIDE))
app.command()(with_video_options(prepare_published.hmdb51, PUBLISHED_SIDE))
app.command()(with_video_options(prepare_published.kinetics, PUBLISHED_SIDE))
app.command("ntu60-videos")(with_video_options(prepare_published.ntu60_videos, PUBLISHED_SIDE))
app.command("ntu120-videos")(with_video_options(prepare_published.ntu120_videos, PUBLISHED_SIDE))
app.command("ntu60")(prepare_skeletons.ntu_command(60))
app.command("ntu120")(prepare_skeletons.ntu_command(120))
app.command()(prepare_skeletons.skeletons)


@app.callback()
def _group() -> None:
    """Make a store from video or skeleton files."""


@app.command()
@with_video_options
def folder(
    videos: Annotated[Path, typer.Argument(help="Folder with videos as CLASS/clip.mp4.", metavar="VIDEOS")],
    out: Out,
    options: "PrepareOptions",
    split: Annotated[
        Path | None, typer.Option(help="CSV list of the videos: path,label,split[,source].", metavar="FILE")
    ] = None,
) -> None:
    """Store the videos of a folder, whose subfolders are the classes; without --split, 30 % of each are for test."""
    from vimix_adapters.datasets.folder import list_folder

    prepare_and_print(list_folder(videos, split), out, options)


@app.command()
@with_video_options
def csv(
    videos: Annotated[
        Path, typer.Argument(help="CSV list of the videos: path,split[,label][,group].", metavar="LIST.csv")
    ],
    out: Out,
    options: "PrepareOptions",
    root: Annotated[
        Path | None,
        typer.Option("--videos", help="Folder that contains the paths; by default that of the list.", metavar="DIR"),
    ] = None,
) -> None:
    """Store the videos of a CSV list; a video in several splits has train1;test2 in the column split."""
    from vimix_adapters.datasets.csv_list import list_csv

    prepare_and_print(list_csv(videos, root), out, options)
