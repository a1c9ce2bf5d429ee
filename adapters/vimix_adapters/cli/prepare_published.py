"""``vimix prepare ucf101``, ``hmdb51``, ``kinetics``, ``ntu60-videos``, ``ntu120-videos``: data sets as published."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli.prepare_options import AllowPartial, Out, prepare_and_print

if TYPE_CHECKING:
    from vimix_adapters.prepare.prepare_store import PrepareOptions

Videos = Annotated[Path, typer.Option(help="Folder with the unpacked videos.", metavar="DIR")]


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


def ntu_videos_command(edition: int) -> Callable[..., None]:
    """Make the command for the colour videos of NTU RGB+D 60 or 120."""

    def command(videos: Videos, out: Out, options: "PrepareOptions", allow_partial: AllowPartial = False) -> None:
        from vimix_adapters.datasets.ntu import list_ntu_videos

        prepare_and_print(list_ntu_videos(videos, edition), out, options, allow_partial)

    command.__doc__ = f"Store the colour videos of NTU RGB+D {edition} with the splits of ``prepare ntu{edition}``."
    return command
