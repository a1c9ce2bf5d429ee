"""``vimix prepare ntu60``, ``ntu120`` and ``skeletons``: make a store from skeleton files."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vimix_adapters.cli.options import Force, Workers, worker_count
from vimix_adapters.cli.prepare_options import AllowPartial, Out, prepare_and_print

if TYPE_CHECKING:
    from vimix_adapters.datasets.listing import Listing


class Denoise(StrEnum):
    """Ways to choose the persons among the recorded bodies."""

    none = "none"
    energy = "energy"
    pyskl = "pyskl"


class Align(StrEnum):
    """Ways to turn the skeletons to the front."""

    none = "none"
    shoulders = "shoulders"
    crosclr = "crosclr"


Skeletons = Annotated[Path, typer.Option(help="Folder with the .skeleton files.", metavar="DIR")]
Missing = Annotated[
    Path | None, typer.Option(help="List of samples to leave out, in place of the authors' list.", metavar="FILE")
]
Frames = Annotated[int, typer.Option(help="Number of frames to which each sequence is resized.", min=2)]
Persons = Annotated[int, typer.Option(help="Largest number of persons in a sequence.", min=1)]
DenoiseBy = Annotated[
    Denoise,
    typer.Option(
        "--denoise",
        help="Which bodies are the persons: none takes the first of the file (CrosSCLR), energy those that move most, "
        "pyskl follows its rules.",
    ),
]
AlignBy = Annotated[
    Align,
    typer.Option(
        "--align",
        help="shoulders turns each frame about the vertical axis to the front; crosclr does what CrosSCLR's code does, "
        "which chooses the direction once a sequence.",
    ),
]


def ntu_command(edition: int) -> Callable[..., None]:
    """Make the command for NTU RGB+D 60 or 120."""

    def command(
        skeletons: Skeletons,
        out: Out,
        missing: Missing = None,
        denoise: DenoiseBy = Denoise.none,
        align: AlignBy = Align.shoulders,
        frames: Frames = 50,
        persons: Persons = 2,
        workers: Workers = 0,
        allow_partial: AllowPartial = False,
        force: Force = False,
    ) -> None:
        from vimix_adapters.datasets.skeleton_files import list_ntu

        listing = list_ntu(skeletons, edition, missing)
        _prepare(listing, out, "ntu", frames, persons, denoise, align, workers, force, allow_partial)

    second = "xview" if edition == 60 else "xset"
    command.__doc__ = (
        f"Store NTU RGB+D {edition} skeletons with the splits xsub-train, xsub-test, {second}-train and {second}-test."
    )
    return command


def skeletons(
    folder: Annotated[Path, typer.Argument(help="Folder with .skeleton or .txt files.", metavar="DIR")],
    out: Out,
    layout: Annotated[
        str, typer.Option(help="Layout of the joints: ntu, kinect-v1, kinect-v1-sdk, or a TOML file.")
    ] = "ntu",
    split: Annotated[
        Path | None,
        typer.Option(
            help="CSV list: path,label,split[,source]; a path may be that of the video with the same name.",
            metavar="FILE",
        ),
    ] = None,
    denoise: DenoiseBy = Denoise.none,
    align: AlignBy = Align.shoulders,
    frames: Frames = 50,
    persons: Annotated[
        int, typer.Option(help="Largest number of persons in a sequence; 0: 1 for .txt files, else 2.", min=0)
    ] = 0,
    workers: Workers = 0,
    force: Force = False,
) -> None:
    """Store skeleton files of any layout; classes come from --split or from names of NTU RGB+D or MSRAction3D."""
    from vimix_adapters.datasets.skeleton_files import list_skeletons

    listing = list_skeletons(folder, split)
    _prepare(listing, out, layout, frames, persons, denoise, align, workers, force)


def _prepare(
    listing: "Listing",
    out: Path,
    layout: str,
    frames: int,
    persons: int,
    denoise: Denoise,
    align: Align,
    workers: int,
    force: bool,
    allow_partial: bool = False,
) -> None:
    from vimix_adapters.prepare.report import PrepareOptions
    from vimix_adapters.prepare.skeleton_store import skeleton_store_builder

    builder = skeleton_store_builder(listing, layout, frames, persons, denoise.value, align.value)
    prepare_and_print(listing, out, PrepareOptions(builder, worker_count(workers), force), allow_partial)
