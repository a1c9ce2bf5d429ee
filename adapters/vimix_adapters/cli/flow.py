"""``vimix flow``: add optical flow to a store."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vimix_adapters.cli.options import Address, EngineOption, GpusPerTask, Workers, engine_of


def flow(
    store: Annotated[Path, typer.Argument(help="Store that was prepared with --flow none.", metavar="STORE.h5")],
    method: Annotated[
        Literal["tvl1", "tvl1-torch", "dis"],
        typer.Option(
            help="Estimator: tvl1 is the paper's, tvl1-torch is TV-L1 in PyTorch (CPU or GPU), dis is much faster."
        ),
    ] = "tvl1",
    workers: Workers = 0,
    shard: Annotated[
        str, typer.Option(help="Take only every N-th video, starting from number I: for job arrays.", metavar="I/N")
    ] = "",
    flow_short_side: Annotated[
        int, typer.Option(help="Short side, in pixels, of the frames from which flow is computed; 0: as stored.", min=0)
    ] = 0,
    flow_bound: Annotated[
        float,
        typer.Option(
            help="Displacement at which flow is clipped, in pixels; 0: 20 if computed, --import-bound if imported.",
            min=0,
        ),
    ] = 0.0,
    import_from: Annotated[
        Path | None,
        typer.Option(
            "--import",
            help="Folder of flow images to import: flow_x_*.jpg and flow_y_*.jpg, CoCLR's images, or folders u and v.",
            metavar="DIR",
        ),
    ] = None,
    import_bound: Annotated[
        float, typer.Option(help="Displacement of the highest level of the imported images, in pixels.")
    ] = 20.0,
    import_rounding: Annotated[
        Literal["round", "truncate"],
        typer.Option(help="How displacements were rounded to grey levels; mmaction2 truncates."),
    ] = "round",
    time_limit: Annotated[
        float, typer.Option(help="Time limit per frame in seconds, on average over a video.", min=0.01)
    ] = 30.0,
    engine: EngineOption = "local",
    address: Address = "",
    gpus_per_task: GpusPerTask = 0.0,
    force: Annotated[bool, typer.Option("--force", help="Replace the flow that the store has.")] = False,
) -> None:
    """Add optical flow, computed from the stored frames or imported; exit code 3 if videos failed.

    STORE.h5.flow.parts keeps the flow of each finished video, and a command that was interrupted goes on there when it
    is called again. When all videos have flow, the store gets it in one step. On a cluster with a shared disk:

        sbatch --array=1-16 --cpus-per-task=8 --wrap 'vimix flow S.h5 --workers 8 --shard $SLURM_ARRAY_TASK_ID/16'

        sbatch --dependency=afterany:JOB --wrap 'vimix flow S.h5'

    The second call computes what is missing and puts all flow into the store. Without a shared disk, first copy the
    files of all folders STORE.h5.flow.parts into one such folder.
    """
    from vimix.values.errors import VimixError
    from vimix_adapters.prepare.flow_store import FlowOptions, compute_flow, import_flow, parse_shard
    from vimix_adapters.reports.console import plain_console

    chosen = engine_of(engine, address, workers, gpus_per_task)
    if gpus_per_task and (method != "tvl1-torch" or import_from is not None):
        raise VimixError("--gpus-per-task: only --method tvl1-torch computes on a GPU")
    options = FlowOptions(chosen, time_limit, parse_shard(shard) if shard else None, force)
    console = plain_console(stderr=True)
    if import_from is not None:
        report = import_flow(store, import_from, import_bound, import_rounding, flow_bound, options, console)
    else:
        report = compute_flow(store, method, flow_short_side, flow_bound or 20.0, options, console)
    later = "call without --shard when all have" if shard else "not added yet"
    state = "the store has it now" if report.complete else later
    print(f"{report.finished} of {report.videos} videos of {store} have flow: {state}")
    for name, reason in report.failures[:10]:
        print(f"  {name}: {reason}")
    if report.failures:
        raise typer.Exit(3)
