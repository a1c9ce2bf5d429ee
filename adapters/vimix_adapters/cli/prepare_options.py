"""Options that all ``vimix prepare`` commands share, and the printing of their report."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vimix_adapters.cli.options import Address, EngineOption, Force, GpusPerTask, Workers, engine_of, with_options

if TYPE_CHECKING:
    from vimix_adapters.datasets.listing import Listing
    from vimix_adapters.prepare.prepare_store import PrepareOptions

Out = Annotated[Path, typer.Option(help="Store to write.", metavar="STORE.h5")]
AllowPartial = Annotated[bool, typer.Option("--allow-partial", help="Store an incomplete data set too.")]
Retry = Annotated[
    bool, typer.Option("--retry-quarantined", help="Try again all files that an earlier call could not read.")
]


def video_options(
    flow: Annotated[
        Literal["tvl1", "tvl1-torch", "dis", "none"],
        typer.Option(help="Optical flow estimator: tvl1 is the paper's, dis is much faster."),
    ] = "tvl1",
    short_side: Annotated[int, typer.Option(help="Short side of the stored frames, in pixels.")] = 128,
    workers: Workers = 0,
    flow_short_side: Annotated[
        int, typer.Option(help="Short side, in pixels, of the frames from which flow is computed; 0: as stored.", min=0)
    ] = 256,
    flow_bound: Annotated[float, typer.Option(help="Displacement at which flow is clipped, in pixels.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Largest number of stored frames per second; 0: all frames.")] = 30.0,
    codec: Annotated[
        Literal["jpeg", "raw"], typer.Option(help="Codec of the frames: jpeg is small, raw is fast to read.")
    ] = "jpeg",
    quality: Annotated[int, typer.Option(help="JPEG quality.", min=1, max=100)] = 95,
    time_limit: Annotated[
        float, typer.Option(help="Time limit in seconds for each ten minutes of a video.", min=0.1)
    ] = 3600.0,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only count the videos and estimate the size of the store."),
    ] = False,
    retry: Retry = False,
    engine: EngineOption = "local",
    address: Address = "",
    gpus_per_task: GpusPerTask = 0.0,
    force: Force = False,
) -> "PrepareOptions":
    """Build the value of the shared options."""
    from vimix.values.errors import VimixError
    from vimix_adapters.config.store_settings import PackSettings
    from vimix_adapters.prepare.prepare_store import PrepareOptions
    from vimix_adapters.prepare.video_store import VideoStoreBuilder

    try:
        settings = PackSettings(
            short_side=short_side,
            flow=flow,
            flow_short_side=short_side if flow == "none" else flow_short_side or short_side,
            flow_bound=flow_bound,
            rate=rate,
            codec=codec,
            quality=quality,
        )
    except ValueError as error:
        raise VimixError(f"vimix prepare: {error.args[0]}") from error
    chosen = engine_of(engine, address, workers, gpus_per_task)
    if gpus_per_task and flow != "tvl1-torch":
        raise VimixError("--gpus-per-task: only --flow tvl1-torch computes on a GPU")
    return PrepareOptions(VideoStoreBuilder(settings, time_limit), chosen, force, dry_run, retry=retry)


def with_video_options(command: Callable[..., None], short_side: int = 128) -> Callable[..., None]:
    """Give a command the options of ``video_options`` in place of its parameter ``options``.

    ``short_side`` is the default of ``--short-side``.
    """
    return with_options(command, video_options, "options", short_side=short_side)


def prepare_and_print(listing: "Listing", out: Path, options: "PrepareOptions", allow_partial: bool = False) -> None:
    """Store the data set, print the report, and end with its exit code."""
    from attrs import evolve

    from vimix_adapters.prepare.prepare_store import prepare_store, report_lines, report_table
    from vimix_adapters.reports.console import plain_console, show_table

    report = prepare_store(listing, out, evolve(options, allow_partial=allow_partial), plain_console(stderr=True))
    show_table(report_table(report))
    for line in report_lines(report):
        print(line)
    if report.exit_code:
        raise typer.Exit(report.exit_code)
