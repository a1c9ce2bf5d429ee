"""The options that all ``vimix prepare`` commands share, and what they print."""

import inspect
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vimix_adapters.datasets.listing import Listing
    from vimix_adapters.prepare.report import Packing

Out = Annotated[Path, typer.Option(help="Store to write.", metavar="STORE.h5")]
Partial = Annotated[bool, typer.Option("--allow-partial", help="Store what there is of an incomplete data set.")]


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


def packing_of(
    flow: Annotated[Flow, typer.Option(help="tvl1 is the paper's, dis a hundred times faster.")] = Flow.tvl1,
    short_side: Annotated[int, typer.Option(help="Of the stored frames, pixels.")] = 128,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes all cores.", min=0)] = 0,
    flow_short_side: Annotated[int, typer.Option(help="Where flow is computed; 0: as the frames.", min=0)] = 0,
    flow_bound: Annotated[float, typer.Option(help="Flow is clipped to this many pixels.")] = 20.0,
    rate: Annotated[float, typer.Option(help="Frames a second; 0 keeps each video's own.")] = 30.0,
    codec: Annotated[Codec, typer.Option(help="jpeg is small, raw is fast to read.")] = Codec.jpeg,
    quality: Annotated[int, typer.Option(help="Of JPEG.", min=1, max=100)] = 95,
    time_limit: Annotated[float, typer.Option(help="Seconds a file may take.", min=0.1)] = 600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but decode.")] = False,
) -> "Packing":
    """The value of the shared options."""
    from vimix.values.errors import VimixError
    from vimix_adapters.config.store_settings import PackSettings
    from vimix_adapters.prepare.report import Packing

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
    return Packing(settings, workers or os.cpu_count() or 1, time_limit, dry_run)


def with_packing(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of ``packing_of`` in place of its parameter ``packing``."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "packing"]
    shared = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in inspect.signature(packing_of).parameters.values()]
    names = {parameter.name for parameter in shared}

    def wrapped(**given: Any) -> None:
        packing = packing_of(**{name: value for name, value in given.items() if name in names})
        command(**{name: value for name, value in given.items() if name not in names}, packing=packing)

    parameters = [*own, *shared]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    return wrapped


def pack_and_report(listing: "Listing", out: Path, packing: "Packing", allow_partial: bool = False) -> None:
    """Pack, print the account, and end with its exit code."""
    from rich.console import Console

    from vimix_adapters.prepare.report import account_table, collect, left_out, report_file
    from vimix_adapters.reports.console import show_table

    account = collect(listing, out, packing, Console(stderr=True), allow_partial)
    show_table(account_table(account))
    wanted = len(listing.videos) + len(listing.missing)
    if account.written:
        print(f"stored {len(listing.videos) - len(account.unreadable or {})} of {wanted} videos in {out}")
    for line in [*left_out(account), *listing.notes, *account.advice]:
        print(line)
    print(f"report: {report_file(out)}")
    if account.exit_code:
        raise typer.Exit(account.exit_code)
