"""``vimix flow``: optical flow for a store that has none."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """Optical flow estimators."""

    tvl1 = "tvl1"
    tvl1_torch = "tvl1-torch"
    dis = "dis"


class Rounding(StrEnum):
    """How imported levels were made of numbers."""

    round = "round"
    truncate = "truncate"


def flow(
    store: Annotated[Path, typer.Argument(help="Store that was prepared with --flow none.", metavar="STORE.h5")],
    method: Annotated[
        Method, typer.Option(help="tvl1 is the paper's; tvl1-torch the same on a GPU, or a CPU; dis is faster by far.")
    ] = Method.tvl1,
    workers: Annotated[int, typer.Option(help="Processes of one thread each; 0 takes all cores.", min=0)] = 0,
    shard: Annotated[
        str, typer.Option(help="Every n-th video only, from the i-th, for job arrays.", metavar="I/N")
    ] = "",
    flow_short_side: Annotated[int, typer.Option(help="Where flow is computed; 0: the stored frames' own.", min=0)] = 0,
    flow_bound: Annotated[
        float, typer.Option(help="Flow is clipped to this many pixels; 0: 20, or as imported.", min=0)
    ] = 0.0,
    import_from: Annotated[
        Path | None,
        typer.Option(
            "--import", help="Folder of flow pictures: flow_x_*.jpg and flow_y_*.jpg, or CoCLR's.", metavar="DIR"
        ),
    ] = None,
    import_bound: Annotated[float, typer.Option(help="Pixels that the imported levels stand for.")] = 20.0,
    import_rounding: Annotated[Rounding, typer.Option(help="Of the imported levels; mmaction2 truncates.")] = (
        Rounding.round
    ),
    time_limit: Annotated[float, typer.Option(help="Seconds that a frame may take on average.", min=0.01)] = 30.0,
) -> None:
    """Add optical flow, computed from the stored frames or imported; exit code 3 if videos failed.

    Each video's flow is kept in STORE.h5.flow.parts as soon as it is done; called again, the command goes on there.
    When all videos have theirs, the store gets it in one step. On a cluster with a shared disk:

        sbatch --array=1-16 --cpus-per-task=8 --wrap 'vimix flow S.h5 --workers 8 --shard $SLURM_ARRAY_TASK_ID/16'

        sbatch --dependency=afterany:JOB --wrap 'vimix flow S.h5'

    the second call computes what may be missing and puts all into the store. Without a shared disk, copy the folders'
    files into one.
    """
    from vimix_adapters.commands import flowing
    from vimix_adapters.reports.console import plain_console

    part = flowing.parse_shard(shard) if shard else None
    processes, console = workers or os.cpu_count() or 1, plain_console(stderr=True)
    if import_from is not None:
        report = flowing.import_flow(
            store, import_from, import_bound, import_rounding.value, flow_bound, part, processes, time_limit, console
        )
    else:
        report = flowing.compute_flow(
            store, method.value, flow_short_side, flow_bound or 20.0, part, processes, time_limit, console
        )
    later = "call without --shard when all have" if part else "not added yet"
    what = "the store has it now" if report.complete else later
    print(f"{report.finished} of {report.videos} videos of {store} have flow: {what}")
    for name, reason in report.failures[:10]:
        print(f"  {name}: {reason}")
    if report.failures:
        raise typer.Exit(3)
