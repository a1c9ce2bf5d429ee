"""``vimix extract``: features of the videos of a store, or of windows of untrimmed video files."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.options import (
    Address,
    Device,
    EngineOption,
    Force,
    GpusPerTask,
    Overrides,
    RecipeFile,
    ray_engine,
)


def extract(
    recipe: RecipeFile,
    checkpoint: CheckpointFile,
    sources: Annotated[
        list[Path],
        typer.Argument(help="Store whose videos are embedded; with --window, video files.", metavar="STORE|VIDEO..."),
    ],
    out: Annotated[
        Path, typer.Option(help="File to write: .npz, .h5 or .csv; with --window, a folder.", metavar="FILE|FOLDER")
    ],
    per: Annotated[
        Literal["video", "clip"], typer.Option(help="Write one row per video (the mean over its clips) or per clip.")
    ] = "video",
    l2: Annotated[bool, typer.Option("--l2", help="Scale rows to unit length.")] = False,
    window: Annotated[
        float | None,
        typer.Option(
            help="Length of a window in seconds; writes a file FOLDER/VIDEO.npz for each untrimmed video.", min=0.0
        ),
    ] = None,
    stride: Annotated[
        float | None, typer.Option(help="Seconds between the starts of two windows; by default half a window.", min=0.0)
    ] = None,
    engine: EngineOption = "local",
    address: Address = "",
    gpus_per_task: GpusPerTask = 0.0,
    force: Force = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Write features of all videos of a store, with names, labels, splits, times and a manifest.

    With --window, write features of windows of untrimmed video files, in the layout that ActionFormer reads.
    """
    from vimix.values.errors import VimixError
    from vimix_adapters.config import read_recipe

    settings = read_recipe(recipe, overrides or ())
    ray = ray_engine(engine, address, gpus_per_task, device=device)
    if window is not None and ray is not None:
        raise VimixError("--engine ray is for a store: features of video files (--window) are computed on this machine")
    if window is not None:
        from vimix_adapters.commands.extract_windows import extract_windows

        span = window, window / 2 if stride is None else stride
        extract_windows(settings, checkpoint, sources, out, span, device, l2, force)
    elif len(sources) != 1 or stride is not None:
        raise VimixError("expected one store; for features of video files add --window SECONDS, and name a folder")
    else:
        from vimix_adapters.commands.extract import extract_to_file

        extract_to_file(settings, checkpoint, sources[0], out, device, per, l2, force, ray)
