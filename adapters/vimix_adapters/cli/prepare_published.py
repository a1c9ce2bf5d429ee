"""``vimix prepare ucf101``, ``hmdb51``, ``kinetics`` and the videos of NTU RGB+D: data sets as they are distributed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli.prepare_options import Out, Partial, pack_and_report

if TYPE_CHECKING:
    from vimix_adapters.prepare.report import Packing

Videos = Annotated[Path, typer.Option(help="Folder of the videos, as unpacked.", metavar="DIR")]


def ucf101(
    videos: Videos,
    splits: Annotated[Path, typer.Option(help="Folder ucfTrainTestlist.", metavar="DIR")],
    out: Out,
    packing: "Packing",
    allow_partial: Partial = False,
) -> None:
    """UCF101 with its three splits: train1, test1, ... test3."""
    from vimix_adapters.datasets.ucf101 import list_ucf101

    pack_and_report(list_ucf101(videos, splits), out, packing, allow_partial)


def hmdb51(
    videos: Videos,
    splits: Annotated[Path, typer.Option(help="Folder with <class>_test_split1.txt.", metavar="DIR")],
    out: Out,
    packing: "Packing",
    allow_partial: Partial = False,
) -> None:
    """HMDB51 with its three splits: train1, test1, ... test3."""
    from vimix_adapters.datasets.hmdb51 import list_hmdb51

    pack_and_report(list_hmdb51(videos, splits), out, packing, allow_partial)


def kinetics(
    videos: Videos,
    annotations: Annotated[str, typer.Option(help="The official CSV files.", metavar="TRAIN.csv,VAL.csv")],
    out: Out,
    packing: "Packing",
    allow_partial: Partial = False,
) -> None:
    """Kinetics with the splits of its CSV files; hardly anybody has all of it: --allow-partial."""
    from vimix_adapters.datasets.kinetics import list_kinetics

    files = [Path(name.strip()) for name in annotations.split(",") if name.strip()]
    pack_and_report(list_kinetics(videos, files), out, packing, allow_partial)


def ntu60_videos(videos: Videos, out: Out, packing: "Packing", allow_partial: Partial = False) -> None:
    """NTU RGB+D 60's colour videos, with the splits of ``prepare ntu60``."""
    from vimix_adapters.datasets.ntu_videos import list_ntu_videos

    pack_and_report(list_ntu_videos(videos, 60), out, packing, allow_partial)


def ntu120_videos(videos: Videos, out: Out, packing: "Packing", allow_partial: Partial = False) -> None:
    """NTU RGB+D 120's colour videos, with the splits of ``prepare ntu120``."""
    from vimix_adapters.datasets.ntu_videos import list_ntu_videos

    pack_and_report(list_ntu_videos(videos, 120), out, packing, allow_partial)
