"""``vimix prepare ntu60``, ``ntu120`` and ``skeletons``: make a store from skeleton files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vimix_adapters.cli.options import Address, EngineOption, Force, Workers, engine_of
from vimix_adapters.cli.prepare_options import AllowPartial, Out, Retry, prepare_and_print

if TYPE_CHECKING:
    from vimix_adapters.datasets.listing import Listing
    from vimix_adapters.prepare.engines import Engine
    from vimix_adapters.prepare.skeleton_store import SkeletonOptions

Align = Literal["none", "shoulders", "crosclr"]
Skeletons = Annotated[Path, typer.Option(help="Folder with the .skeleton files.", metavar="DIR")]
Missing = Annotated[
    Path | None,
    typer.Option(help="List of samples to leave out, in place of the authors' list.", metavar="FILE"),
]
Frames = Annotated[int, typer.Option(help="Number of frames to which each sequence is resized.", min=2)]
Persons = Annotated[int, typer.Option(help="Largest number of persons in a sequence.", min=1)]
DenoiseBy = Annotated[
    Literal["none", "energy", "pyskl"],
    typer.Option(
        "--denoise",
        help="Which bodies are the persons: none takes the first in the file (CrosSCLR), energy takes those that move "
        "most, pyskl follows pyskl's rules.",
    ),
]
AlignBy = Annotated[
    Align,
    typer.Option(
        "--align",
        help="shoulders turns each frame about the vertical axis to the front; crosclr follows CrosSCLR's code, which "
        "chooses the direction once per sequence.",
    ),
]


def ntu_command(edition: int) -> Callable[..., None]:
    """Make the command for NTU RGB+D 60 or 120."""

    def command(
        skeletons: Skeletons,
        out: Out,
        missing: Missing = None,
        denoise: DenoiseBy = "none",
        align: AlignBy = "shoulders",
        frames: Frames = 50,
        persons: Persons = 2,
        workers: Workers = 0,
        allow_partial: AllowPartial = False,
        retry: Retry = False,
        engine: EngineOption = "local",
        address: Address = "",
        force: Force = False,
    ) -> None:
        from vimix_adapters.datasets.skeleton_files import list_ntu
        from vimix_adapters.prepare.skeleton_store import SkeletonOptions

        listing = list_ntu(skeletons, edition, missing)
        options = SkeletonOptions("ntu", frames, persons, denoise, align, ("x", "y", "z"))
        _prepare(listing, out, options, engine_of(engine, address, workers), force, retry, allow_partial)

    second = "xview" if edition == 60 else "xset"
    command.__doc__ = (
        f"Store NTU RGB+D {edition} skeletons with the splits xsub-train, xsub-test, {second}-train and {second}-test."
    )
    return command


def skeletons(
    path: Annotated[
        Path,
        typer.Argument(
            help="Folder with .skeleton, .txt, .csv, .json, .npz, .npy or .pkl files, or one such file.", metavar="PATH"
        ),
    ],
    out: Out,
    layout: Annotated[
        str,
        typer.Option(
            help="Layout of the joints: ntu (kinect-v2), kinect-v1, kinect-v1-sdk, coco17, openpose18, openpose25, "
            "mediapipe33, or a TOML file."
        ),
    ] = "ntu",
    split: Annotated[
        Path | None,
        typer.Option(
            help="CSV list: path,label,split[,source]; a path may name the video that the skeletons come from. With "
            "--labels: path,split, or PKU-MMD's list.",
            metavar="FILE",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Folder with a file NAME.txt for each recording, as in PKU-MMD. Each line label,start,end (frames) "
            "becomes a sequence.",
            metavar="DIR",
        ),
    ] = None,
    channels: Annotated[
        str,
        typer.Option(help="Channels of a joint: x,y or x,y,score or x,y,z. Default: those of the first files."),
    ] = "",
    axes: Annotated[
        str,
        typer.Option(
            help="Axes of arrays that do not name theirs, such as NCTVM: N sequences, T frames, M persons, V joints, "
            "C channels."
        ),
    ] = "",
    not_found: Annotated[
        Literal["fill", "mask"],
        typer.Option(
            help="Joints that were not found (0 0 0, NaN or score 0): fill interpolates them in time, mask hides them "
            "in every stream."
        ),
    ] = "fill",
    denoise: DenoiseBy = "none",
    align: Annotated[
        Align | None,
        typer.Option(
            help="shoulders turns each frame about the vertical axis to the front; crosclr follows CrosSCLR's code. "
            "Default: shoulders for joints x y z, none for x y."
        ),
    ] = None,
    frames: Frames = 50,
    persons: Annotated[
        int,
        typer.Option(
            help="Largest number of persons in a sequence; 0: 2, or 1 if the files have room for one only.", min=0
        ),
    ] = 0,
    workers: Workers = 0,
    retry: Retry = False,
    engine: EngineOption = "local",
    address: Address = "",
    force: Force = False,
) -> None:
    """Store skeleton files of any layout.

    Classes come from --labels, --split, the files themselves (pickles and arrays), or the names of NTU RGB+D,
    MSRAction3D or NW-UCLA.
    """
    from vimix_adapters.prepare.skeleton_listing import list_skeletons
    from vimix_adapters.prepare.skeleton_store import SkeletonOptions

    listing = list_skeletons(path, split, labels, axes)
    named = tuple(channels.replace(",", " ").split())
    options = SkeletonOptions(layout, frames, persons, denoise, align or "", named, not_found, axes)
    _prepare(listing, out, options, engine_of(engine, address, workers), force, retry)


def _prepare(
    listing: "Listing",
    out: Path,
    options: "SkeletonOptions",
    engine: "Engine",
    force: bool,
    retry: bool,
    allow_partial: bool = False,
) -> None:
    from vimix_adapters.prepare.prepare_store import PrepareOptions
    from vimix_adapters.prepare.skeleton_store import SkeletonStoreBuilder, noted, skeleton_settings

    settings = skeleton_settings(listing, options)
    prepare = PrepareOptions(SkeletonStoreBuilder(settings), engine, force, retry=retry)
    prepare_and_print(noted(listing, options, settings), out, prepare, allow_partial)
