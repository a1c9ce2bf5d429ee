"""``vimix prepare``: make a store from video or skeleton files."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli import prepare_skeletons
from vimix_adapters.cli.prepare_options import AllowPartial, Out, prepare_and_print, with_video_options

if TYPE_CHECKING:
    from vimix_adapters.prepare.prepare_store import PrepareOptions

app = typer.Typer(help="Make a store from video or skeleton files.", no_args_is_help=True)

published = partial(with_video_options, short_side=256)
"""Published sets are stored at CoCLR's and I3D's short side: random crops to 128 pixels then shrink."""

Videos = Annotated[Path, typer.Option(help="Folder with the unpacked videos.", metavar="DIR")]
FrameRate = Annotated[float, typer.Option(help="Frames per second of folders of images.", min=0.01, metavar="RATE")]


@app.command()
@published
def ucf101(
    videos: Videos,
    splits: Annotated[Path, typer.Option(help="Folder ucfTrainTestlist.", metavar="DIR")],
    out: Out,
    options: "PrepareOptions",
    allow_partial: AllowPartial = False,
) -> None:
    """Store UCF101 with its three splits: train1, test1, ... test3."""
    from vimix_adapters.datasets.ucf101 import list_ucf101

    prepare_and_print(list_ucf101(videos, splits), out, options, allow_partial)


@app.command()
@published
def hmdb51(
    videos: Videos,
    splits: Annotated[Path, typer.Option(help="Folder with the lists <class>_test_split1.txt.", metavar="DIR")],
    out: Out,
    options: "PrepareOptions",
    allow_partial: AllowPartial = False,
) -> None:
    """Store HMDB51 with its three splits: train1, test1, ... test3."""
    from vimix_adapters.datasets.hmdb51 import list_hmdb51

    prepare_and_print(list_hmdb51(videos, splits), out, options, allow_partial)


@app.command()
@published
def kinetics(
    videos: Videos,
    annotations: Annotated[
        str, typer.Option(help="Official CSV files, separated by commas.", metavar="TRAIN.csv,VAL.csv")
    ],
    out: Out,
    options: "PrepareOptions",
    allow_partial: AllowPartial = False,
) -> None:
    """Store Kinetics with the splits of its CSV files; most copies are incomplete and need --allow-partial."""
    from vimix_adapters.datasets.kinetics import list_kinetics

    files = [Path(name.strip()) for name in annotations.split(",") if name.strip()]
    prepare_and_print(list_kinetics(videos, files), out, options, allow_partial)


def _ntu_videos_command(edition: int) -> Callable[..., None]:
    """Make the command for the colour videos of NTU RGB+D 60 or 120."""

    def command(videos: Videos, out: Out, options: "PrepareOptions", allow_partial: AllowPartial = False) -> None:
        from vimix_adapters.datasets.ntu import list_ntu_videos

        prepare_and_print(list_ntu_videos(videos, edition), out, options, allow_partial)

    command.__doc__ = f"Store the colour videos of NTU RGB+D {edition} with the splits of ``prepare ntu{edition}``."
    return command


app.command("ntu60-videos")(published(_ntu_videos_command(60)))
app.command("ntu120-videos")(published(_ntu_videos_command(120)))
app.command("ntu60")(prepare_skeletons.ntu_command(60))
app.command("ntu120")(prepare_skeletons.ntu_command(120))
app.command()(prepare_skeletons.skeletons)


@app.command()
@with_video_options
def folder(
    videos: Annotated[
        Path, typer.Argument(help="Folder with videos as CLASS/clip.mp4 or train/CLASS/clip.mp4.", metavar="VIDEOS")
    ],
    out: Out,
    options: "PrepareOptions",
    split: Annotated[
        Path | None, typer.Option(help="CSV list of the videos: path,label,split[,source].", metavar="FILE")
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Also store videos that lie in no class folder, without a label.")
    ] = False,
    frame_rate: FrameRate = 30.0,
) -> None:
    """Store the videos of a folder, whose subfolders are the classes.

    If the first folders are called train, val and test, they are the splits, and their subfolders are the classes.
    Otherwise, without --split, 30 % of each class's recordings are for test. A folder of numbered images counts as a
    video.
    """
    from vimix_adapters.datasets.class_folders import list_folder
    from vimix_adapters.datasets.listing import at_frame_rate

    prepare_and_print(at_frame_rate(list_folder(videos, split, unlabelled), frame_rate), out, options)


@app.command()
@with_video_options
def csv(
    lists: Annotated[
        list[Path],
        typer.Argument(
            help="Lists of the videos: CSV path,split[,label][,group][,start,end], or other formats.", metavar="LIST..."
        ),
    ],
    out: Out,
    options: "PrepareOptions",
    root: Annotated[
        Path | None,
        typer.Option(
            "--videos", help="Folder to which paths are relative; by default the folder of the list.", metavar="DIR"
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Names of the classes, one per line, for labels that are numbers.", metavar="FILE"),
    ] = None,
    frame_rate: FrameRate = 30.0,
) -> None:
    """Store the videos of lists: CSV with a header, or lists of SlowFast, VideoMAE, mmaction2 and others.

    A video in several splits has train1;test2 in the column split. The columns start,end (seconds) or
    start_frame,end_frame make a segment of a video a clip of its own.
    """
    from vimix_adapters.datasets.listing import at_frame_rate
    from vimix_adapters.datasets.lists import list_videos

    prepare_and_print(at_frame_rate(list_videos(lists, root, classes), frame_rate), out, options)
